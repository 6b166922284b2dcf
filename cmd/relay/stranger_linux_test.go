package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/pion/stun/v3"

	"github.com/peephole-cam/peephole/signaling"
	"github.com/peephole-cam/peephole/signaling/webtransport"
)

// stranger is a client that tries to harm the relay with as many connections as possible.
type stranger struct {
	attack string
	to     netip.AddrPort
	from   netip.Prefix

	mu      sync.Mutex
	held    map[io.Closer]bool // guarded by mu
	refused int                // guarded by mu
}

// strangerMain is a program with the arguments ATTACK HOST:PORT PREFIX N RATE. When it reads "come", it attacks N
// times, prints "there", and goes on RATE times a second. When it reads "go", it closes all its connections, and prints
// "refused" and the number of refused attempts.
func strangerMain() {
	n, err := strconv.Atoi(os.Args[4])
	rate, err2 := strconv.Atoi(os.Args[5])
	if err := errors.Join(err, err2); err != nil {
		panic(err)
	}

	s := &stranger{
		attack: os.Args[1],
		to:     netip.MustParseAddrPort(os.Args[2]),
		from:   netip.MustParsePrefix(os.Args[3]),
		held:   make(map[io.Closer]bool),
	}

	lines := make(chan string)
	go func() {
		defer close(lines)
		for in := bufio.NewScanner(os.Stdin); in.Scan(); {
			lines <- in.Text()
		}
	}()

	for range lines {
		s.come(n, rate, lines)
		s.leave()
	}
}

// come attacks until the next line.
func (s *stranger) come(n, rate int, lines <-chan string) {
	var attempts sync.WaitGroup
	defer attempts.Wait()
	slots := make(chan struct{}, 64)
	try := func() {
		slots <- struct{}{}
		attempts.Go(func() {
			s.harm()
			<-slots
		})
	}

	for range n {
		try()
	}
	attempts.Wait()
	fmt.Println("there")

	tick := time.NewTicker(time.Second / time.Duration(rate))
	defer tick.Stop()
	for {
		select {
		case <-lines:
			return
		case <-tick.C:
			try()
		}
	}
}

// leave closes every connection, and prints how many attempts were refused.
func (s *stranger) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.held {
		c.Close()
	}
	fmt.Println("refused", s.refused)
	s.refused = 0
}

// address returns a random address in the stranger's prefix. In a /48, it can be in any network.
func (s *stranger) address() netip.Addr {
	ip := s.from.Addr().AsSlice()
	for bit := s.from.Bits(); bit < s.from.Addr().BitLen(); bit++ {
		if rand.IntN(2) == 1 {
			ip[bit/8] |= 0x80 >> (bit % 8)
		}
	}

	a, _ := netip.AddrFromSlice(ip)
	return a
}

func (s *stranger) refuse() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refused++
}

const strangersPatience = 5 * time.Second

// harm attacks once.
func (s *stranger) harm() {
	if s.attack == "datagrams" || s.attack == "guesses" {
		s.flood()
		return
	}
	if s.attack == "sessions" {
		s.openSession()
		return
	}
	d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(s.address(), 0)), Timeout: strangersPatience}
	c, err := d.Dial("tcp", s.to.String())
	if err != nil {
		s.refuse()
		return
	}

	over := c
	if s.to.Port()%otherPorts == 443 && s.attack != "silent" && s.attack != "half" {
		c.SetDeadline(time.Now().Add(strangersPatience))
		secure := tls.Client(c, &tls.Config{InsecureSkipVerify: true})
		if secure.Handshake() != nil {
			c.Close()
			s.refuse()
			return
		}

		c.SetDeadline(time.Time{})
		over = secure
	}

	if !s.say(over) {
		c.Close()
		s.refuse()
		return
	}

	s.mu.Lock()
	s.held[c] = true
	s.mu.Unlock()
	go s.hold(c, over)
}

// heldSession is a session as something to close.
type heldSession struct{ *webtransport.Conn }

func (c heldSession) Close() error { return c.CloseNow() }

// openSession opens a WebTransport session, and keeps it open until the relay closes it.
func (s *stranger) openSession() {
	ctx, cancel := context.WithTimeout(context.Background(), strangersPatience)
	defer cancel()
	c, err := webtransport.Dialer{
		TLS:       &tls.Config{InsecureSkipVerify: true},
		LocalAddr: net.UDPAddrFromAddrPort(netip.AddrPortFrom(s.address(), 0)),
	}.Dial(ctx, s.to.String())
	if err != nil {
		s.refuse()
		return
	}

	held := heldSession{c}
	s.mu.Lock()
	s.held[held] = true
	s.mu.Unlock()
	go func() {
		for err := error(nil); err == nil; {
			_, err = c.Read(context.Background())
		}
		c.CloseNow()
		s.refuse()
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.held, held)
	}()
}

// say sends something on a connection, and reports whether it was accepted.
func (s *stranger) say(c net.Conn) bool {
	c.SetDeadline(time.Now().Add(strangersPatience))
	defer c.SetDeadline(time.Time{})
	answered := func(request string) bool {
		if _, err := c.Write([]byte(request)); err != nil {
			return false
		}
		p := make([]byte, 12)
		_, err := c.Read(p)
		return err == nil && (string(p) == "HTTP/1.1 200" || string(p) == "HTTP/1.1 101" || p[0] == 1)
	}

	switch s.attack {
	case "half":
		_, err := c.Write([]byte{0x16, 3, 1, 2})
		return err == nil
	case "slow":
		_, err := c.Write([]byte("GET / HTTP/1.1\r\nHost: relay\r\n"))
		return err == nil
	case "idle":
		return answered("GET /icon.svg HTTP/1.1\r\nHost: relay\r\n\r\n")
	case "upgraded":
		return answered("GET /v1/signal HTTP/1.1\r\nHost: relay\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n" +
			"Sec-WebSocket-Protocol: " + signaling.Subprotocol + "\r\n\r\n")
	case "bindings":
		return answered(string(binding()))
	}

	return true
}

// hold keeps a connection open until the relay closes it. If the attack needs it, hold sends more every second.
func (s *stranger) hold(raw, over net.Conn) {
	more := map[string]string{"slow": "X-Pad: x\r\n", "bindings": string(binding())}[s.attack]
	if more != "" {
		go func() {
			for tick := time.NewTicker(time.Second); ; <-tick.C {
				if _, err := over.Write([]byte(more)); err != nil {
					tick.Stop()
					return
				}
			}
		}()
	}

	for p := make([]byte, 4096); ; {
		if _, err := over.Read(p); err != nil {
			break
		}
	}

	raw.Close()
	s.refuse()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.held, raw)
}

// flood sends a hundred requests from one address. If fewer than half are answered, that counts as one refusal.
func (s *stranger) flood() {
	from := net.UDPAddrFromAddrPort(netip.AddrPortFrom(s.address(), 0))
	c, err := net.DialUDP("udp", from, net.UDPAddrFromAddrPort(s.to))
	if err != nil {
		panic(err)
	}
	defer c.Close()

	request := binding()
	if s.attack == "guesses" {
		request = stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodAllocate, stun.ClassRequest),
			stun.RawAttribute{Type: stun.AttrRequestedTransport, Value: []byte{17, 0, 0, 0}},
			stun.NewUsername("2000000000:AAAAAAAAAAAAAAAAAAAAAA:c:AAAAAAAA:00000000"),
			stun.NewRealm("peephole"), stun.NewNonce("x"),
			stun.NewShortTermIntegrity("guessed")).Raw
	}

	const floods = 100
	for range floods {
		binary.BigEndian.PutUint64(request[8:], rand.Uint64())
		if _, err := c.Write(request); err != nil {
			break
		}
	}

	c.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
	answered := 0
	for p := make([]byte, 2048); ; answered++ {
		if _, err := c.Read(p); err != nil {
			break
		}
	}

	if answered < floods/2 {
		s.refuse()
	}
}
