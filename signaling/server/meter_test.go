package server

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/netlimit"
	"github.com/peephole-cam/peephole/signaling"
)

// A client's frames (RFC 6455, section 5.2), with a mask of zeros.
const (
	begins   = "\x02\x81\x00\x00\x00\x00\x12" // a message in fragments, of one byte so far
	empty    = "\x00\x80\x00\x00\x00\x00"
	oneByte  = "\x00\x81\x00\x00\x00\x00\x00"
	ends     = "\x80\x80\x00\x00\x00\x00"
	ping     = "\x89\x80\x00\x00\x00\x00"
	pong     = "\x8a\x80\x00\x00\x00\x00"
	nonsense = "\x82\x81\x00\x00\x00\x00\xff" // a whole message that is not a signaling frame
)

// upgraded returns a connection from an address after its handshake, below the WebSocket.
func (e *endpoint) upgraded(t *testing.T, from string) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(e.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })

	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: relay.example\r\n%s: %s\r\nUpgrade: websocket\r\nConnection: "+
		"Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: %s\r\n"+
		"\r\n",
		signaling.Path, fromHeader, from, signaling.Subprotocol)
	r := bufio.NewReader(conn)
	response, err := http.ReadResponse(r, nil)
	if err != nil || response.StatusCode != http.StatusSwitchingProtocols {
		t.Fatal(response, err)
	}
	return conn, r
}

// TestFramesThatAreNoMessageCostToo floods a connection with frames that the WebSocket library handles itself. The
// sender has to wait for its share of the processor, so its last message is never answered.
func TestFramesThatAreNoMessageCostToo(t *testing.T) {
	const (
		flood  = 100_000
		budget = 200_000 // microseconds a second, of which no address gets more than a quarter
	)
	e := start(t, Config{})
	e.addresses.work = netlimit.NewRate(netlimit.Config{Size: budget}, time.Second)

	for i, row := range []struct{ name, first, repeated, last string }{
		{"pings", "", ping, nonsense},
		{"pongs", "", pong, nonsense},
		{"empty fragments", begins, empty, ends},
		{"fragments of a byte", begins, oneByte, ends},
	} {
		conn, r := e.upgraded(t, fmt.Sprintf("192.0.2.%d", i+1))
		before := e.Stats.Delayed.Load()
		answered := make(chan struct{})
		go func() {
			defer close(answered)
			_, _ = io.Copy(io.Discard, r)
		}()
		go func() { _, _ = io.WriteString(conn, row.first+strings.Repeat(row.repeated, flood)+row.last) }()

		until(t, row.name+" are delayed, or accepted for free", func() bool {
			select {
			case <-answered:
				return true
			default:
				return e.Stats.Delayed.Load() > before
			}
		})

		if e.Stats.Delayed.Load() == before {
			t.Errorf("%d %s cost nothing", flood, row.name)
		}
	}
}

// TestClientOfAnotherProtocolIsNotListenedTo: the client learns why it is refused, and nothing it sends is read.
func TestClientOfAnotherProtocolIsNotListenedTo(t *testing.T) {
	e := start(t, Config{})
	conn, err := net.Dial("tcp", strings.TrimPrefix(e.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()

	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: relay.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n%s",
		signaling.Path, strings.Repeat(ping, 100))

	said, _ := io.ReadAll(conn) // ends with an error, because the relay did not read what the client sent
	if !bytes.Contains(said, []byte("want subprotocol")) || bytes.Contains(said, []byte("\x8a\x00")) {
		t.Errorf("got %q, want the reason and no pong", said)
	}
}

// TestMeterCountsFramesHoweverTheyArrive cuts a stream of frames in two at every byte.
func TestMeterCountsFramesHoweverTheyArrive(t *testing.T) {
	stream := begins + empty + ping + oneByte + ends + pong +
		"\x82\xfe\x00\x7e\x01\x02\x03\x04" + strings.Repeat("\x89", 126) +
		"\x82\xff\x00\x00\x00\x00\x00\x00\x01\x00\x01\x02\x03\x04" + strings.Repeat("\x80", 256) +
		"\x82\x02\x80\x80" + // without a mask
		nonsense

	const want = 10
	for at := range len(stream) {
		var m meter
		if got := m.count([]byte(stream[:at])) + m.count([]byte(stream[at:])); got != want || m.left != 0 ||
			m.have != 0 {
			t.Errorf("cut at %d: %d frames, want %d; then %+v", at, got, want, m)
		}
	}
}

// FuzzMeter: the meter counts the same frames in any bytes, however they arrive.
func FuzzMeter(f *testing.F) {
	f.Add([]byte(begins+empty+ends+ping), uint8(1))
	f.Add([]byte("\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x02\x03\x04"), uint8(3))
	f.Fuzz(func(t *testing.T, stream []byte, size uint8) {
		var whole, cut meter
		want, got := whole.count(stream), int64(0)
		for p := stream; len(p) > 0; {
			n := min(len(p), int(size)+1)
			got += cut.count(p[:n])
			p = p[n:]
		}

		if got != want || cut.left != whole.left || cut.have != whole.have {
			t.Errorf("%d frames in pieces, %d at once", got, want)
		}
		if want > int64(len(stream)/2) {
			t.Errorf("%d frames in %d bytes", want, len(stream))
		}
	})
}
