package server

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/signaling"
	"github.com/peephole-cam/peephole/signaling/bus"
)

// taken calls make n times, and returns how many bytes of heap and stack each call's result takes. make must keep its
// results.
func taken(n int, make func(i int)) int64 {
	before := inUse()
	for i := range n {
		make(i)
	}
	return (inUse() - before) / int64(n)
}

// inUse returns how many bytes of heap and stack are in use.
func inUse() int64 {
	var m runtime.MemStats
	for range 3 {
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

// covers fails unless a thing takes at most what is charged for it, and at least a quarter of that.
func covers(t *testing.T, what string, took, charged int64) {
	t.Helper()
	t.Logf("%s: %d bytes taken, %d charged", what, took, charged)
	if took > charged || took < charged/4 {
		t.Errorf("%s takes %d bytes, but %d are charged", what, took, charged)
	}
}

// costOf returns what is charged for a message of n bytes.
func costOf(n int) int64 { return messageCost(bytes.Clone(make([]byte, n))) }

func nameOf(kind byte, i int) signaling.Name {
	return signaling.Name{byte(i), byte(i >> 8), byte(i >> 16), kind}
}

// TestCostsCoverTheHeap compares charges with the heap: filling a pool takes no more memory than the pool says.
func TestCostsCoverTheHeap(t *testing.T) {
	n, most := 20_000, 64<<20
	if testing.Short() {
		n, most = n/4, most/4 // maps are as full as with all
	}
	s, class := newStore(new(Stats), bus.NewLocal(), nil, "here"), unlimited()
	who := household(class, "192.0.2.1")

	holders := make([]*holder, n)
	took := taken(n, func(i int) {
		holders[i] = mustOpen(t, s, nameOf(1, i), who, nil, begin)
	})
	covers(t, "an admitted mailbox", took-8, boxCost)

	for _, size := range []int{1, 1000, 8193, 9337, 33_913, signaling.MaxBody} {
		some := min(n, most/size)
		took := taken(some, func(i int) {
			mustPost(t, s, nameOf(1, i), holders[i], size, time.Hour, begin)
		})
		covers(t, fmt.Sprintf("a message of %d bytes", size), took, costOf(size))
	}

	runtime.KeepAlive(holders)
	runtime.KeepAlive(s)
}

func TestCostsCoverATicket(t *testing.T) {
	const n = 5000
	all, asking := tickets{class: unlimited(), byID: make(map[[16]byte]*ticket)}, household(unlimited(), "192.0.2.1")
	took := taken(n, func(i int) {
		limits := signaling.Ticket{ID: [16]byte{byte(i), byte(i >> 8)}, SessionsPerHour: 600}
		used, err := all.addUser(limits)
		if err == nil {
			err = used.chargeGrant(asking.payer, begin)
		}
		if err != nil {
			t.Fatal(err)
		}
	})

	covers(t, "a ticket in use", took, ticketCost)
	runtime.KeepAlive(all.byID)
}

// TestCostsCoverAConnection uses real connections over TLS.
func TestCostsCoverAConnection(t *testing.T) {
	s, err := New(Config{
		PublicURL:         "https://relay.example",
		Bus:               bus.NewLocal(),
		Logger:            quiet,
		LoopbackUnlimited: true,
	})
	if err != nil {
		t.Fatal(err)
	}

	hs := httptest.NewTLSServer(s)
	defer hs.Close()
	defer s.conns.Wait()
	defer s.cancel()

	var full delivered
	ring := taken(1, func(int) {
		for seq := range uint64(deliveredKept) {
			full.remember(signaling.Name{}, seq, defaultNode)
		}
	})

	const n = 150
	before := inUse()
	for range n {
		handshake(t, hs)
	}

	// On a busy machine the server still works on some of them.
	var took int64
	until(t, "the connections take no more than is charged", func() bool {
		took = (inUse()-before)/n + ring + outboxFree
		return took <= connCost
	})

	covers(t, "a connection", took, connCost)
	runtime.KeepAlive(&full)
}

func TestCostsCoverAMailboxOnAConnection(t *testing.T) {
	s, err := New(Config{PublicURL: "https://relay.example", Bus: bus.NewLocal(), Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	c := newConn(s, nil, s.accountOf(quietAddr), nil)
	took := taken(mailboxesPerConn, func(i int) {
		name, o := nameOf(1, i), new(opened)
		if err := c.openInStore(name, o, opening{first: true}, signaling.Read, begin); err != nil {
			t.Fatal(err)
		}
		c.boxes[name] = o
		c.startReading(name)
	})

	covers(t, "a mailbox open for reading that nobody admitted", took, openedCost)
	runtime.KeepAlive(c)
}

// handshake makes a connection. Little more than the server's end of it remains in this process.
func handshake(t *testing.T, hs *httptest.Server) {
	t.Helper()
	raw, err := net.Dial("tcp", hs.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { raw.Close() })

	secure := tls.Client(raw, &tls.Config{InsecureSkipVerify: true}) // the certificate does not matter here
	fmt.Fprintf(secure, "GET %s HTTP/1.1\r\nHost: relay.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: %s\r\n"+
		"\r\n", signaling.Path, signaling.Subprotocol)
	r := bufio.NewReader(secure)
	response, err := http.ReadResponse(r, nil)
	if err != nil || response.StatusCode != http.StatusSwitchingProtocols {
		t.Fatal(response, err)
	}
	if _, err := io.ReadFull(r, make([]byte, 2+41)); err != nil { // the challenge
		t.Fatal(err)
	}
}
