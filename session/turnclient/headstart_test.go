package turnclient

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"net"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/pion/stun/v3"

	"github.com/peephole-cam/peephole/test/bubble"
)

// relayAt is where the tests' messages go.
var relayAt = &net.UDPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 3478}

// askedBy is the tests' transaction id.
var askedBy = [stun.TransactionIDSize]byte{1, 2, 3}

func allocated(t *testing.T, kind stun.MessageType) []byte {
	t.Helper()
	m, err := stun.Build(stun.NewTransactionIDSetter(askedBy), kind)
	if err != nil {
		t.Fatal(err)
	}
	return m.Raw
}

// Only an allocation over UDP makes the other transports needless. Without one, a session waits no longer than the head
// start.
func TestAllocationOverUDPMakesOtherWaysNeedless(t *testing.T) {
	granted := allocated(t, stun.NewType(stun.MethodAllocate, stun.ClassSuccessResponse))
	refused := allocated(t, stun.NewType(stun.MethodAllocate, stun.ClassErrorResponse))
	binding := allocated(t, stun.BindingSuccess)
	ask := allocated(t, stun.NewType(stun.MethodAllocate, stun.ClassRequest))
	forged := bytes.Clone(granted)
	forged[19]++

	for _, tt := range []struct {
		name string
		urls []string
		hear [][]byte
		at   time.Duration
		want bool
		took time.Duration
	}{
		{"granted in time", []string{"turn:a:1?transport=udp"}, [][]byte{refused, granted, granted},
			100 * time.Millisecond, true, 100 * time.Millisecond},
		{"granted before", []string{"turn:a:1"}, [][]byte{granted}, 0, true, 0},
		{"too late", []string{"turn:a:1?transport=udp"}, [][]byte{granted}, time.Second, false, udpHeadStart},
		{"refused", []string{"turn:a:1?transport=udp"}, [][]byte{refused, binding, nil, {1, 3}, granted[:19]},
			100 * time.Millisecond, false, udpHeadStart},
		{"granted to nobody who asked", []string{"turn:a:1"}, [][]byte{forged}, 100 * time.Millisecond, false,
			udpHeadStart},
		{"no UDP", []string{"stun:a:1", "turn:a:1?transport=tcp", "turns:a:443?transport=tcp"}, [][]byte{granted}, 0,
			false, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				h := newHeadStart(tt.urls)
				h.hear(granted, relayAt) // before any request
				h.ask(ask, relayAt)
				h.hear(granted, &net.UDPAddr{IP: net.IPv4(192, 0, 2, 2), Port: relayAt.Port})
				h.hear(granted, &net.UDPAddr{IP: relayAt.IP, Port: relayAt.Port + 1})
				hear := func() {
					for _, b := range tt.hear {
						h.hear(b, relayAt)
					}
				}

				if tt.at == 0 {
					hear()
				} else {
					time.AfterFunc(tt.at, hear)
				}

				began := time.Now()
				if got := h.wait(t.Context(), udpHeadStart); got != tt.want || time.Since(began) != tt.took {
					t.Errorf("%v after %v, want %v after %v", got, time.Since(began), tt.want, tt.took)
				}
				time.Sleep(2 * time.Second)
			})
		})
	}

	bubble.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		began := time.Now()
		if newHeadStart([]string{"turn:a:1"}).wait(ctx, udpHeadStart) || time.Since(began) != 50*time.Millisecond {
			t.Errorf("a session that ends waits for %v", time.Since(began))
		}
	})
}

// Once UDP has reached the relay, the dialer returns no TCP connection, even if it is just making one.
func TestTURNDialerAfterUDP(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()

	granted := allocated(t, stun.NewType(stun.MethodAllocate, stun.ClassSuccessResponse))
	h := newHeadStart([]string{"turn:a:1"})
	d := newDialer(t.Context(), nil, nil, h)
	began := time.Now()
	conn, err := d.Dial("tcp4", l.Addr().String())
	if err != nil || time.Since(began) < udpHeadStart {
		t.Fatalf("UDP is silent: %v after %v", err, time.Since(began))
	}

	conn.Close()
	(<-accept(t, l)).Close()
	ask := allocated(t, stun.NewType(stun.MethodAllocate, stun.ClassRequest))
	h.ask(ask, relayAt)
	h.hear(granted, relayAt)
	if _, err := d.Dial("tcp4", l.Addr().String()); !errors.Is(err, errNotNeeded) {
		t.Errorf("UDP works: %v", err)
	}

	server, trust := tlsConfigs(t)
	slow := newDialer(t.Context(), []string{"turns:" + l.Addr().String()}, trust,
		newHeadStart([]string{"turn:a:1"}))
	ended := make(chan error, 1)
	go func() { _, err := slow.Dial("tcp4", l.Addr().String()); ended <- err }()
	held := <-accept(t, l)
	defer held.Close()

	slow.udp.ask(ask, relayAt)
	slow.udp.hear(granted, relayAt)
	if err := tls.Server(held, server).Handshake(); err != nil {
		t.Error(err)
	}

	if err := <-ended; !errors.Is(err, errNotNeeded) {
		t.Errorf("UDP began to work meanwhile: %v", err)
	}
}

// A connection that took long is held back for as long again, because an allocation over UDP takes two round trips. The
// head start counts as a part of that.
func TestDistantRelayHasTwoRoundTripsOverUDP(t *testing.T) {
	for _, tt := range []struct{ connecting, took time.Duration }{
		{0, 250 * time.Millisecond},
		{100 * time.Millisecond, 350 * time.Millisecond},
		{400 * time.Millisecond, (250 + 400 + 2*400 - 250) * time.Millisecond},
	} {
		bubble.Test(t, func(t *testing.T) {
			server, trust := tlsConfigs(t)
			l, err := tls.Listen("tcp", "127.0.0.1:0", server)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()

			shaken := make(chan error, 1)
			d := newDialer(t.Context(), []string{"turns:" + l.Addr().String()}, trust,
				newHeadStart([]string{"turn:a:1"}))
			d.proxy = func(*http.Request) (*url.URL, error) { // takes the time that a distant server would take
				time.Sleep(tt.connecting)
				// no earlier, because the bubble's time stands still while this waits for the client
				go func() { shaken <- (<-accept(t, l)).(*tls.Conn).Handshake() }()
				return nil, nil
			}

			began := time.Now()
			conn, err := d.Dial("tcp4", l.Addr().String())
			if err := errors.Join(err, <-shaken); err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if took := time.Since(began); took != tt.took {
				t.Errorf("a connection that took %v comes after %v, want %v", tt.connecting, took, tt.took)
			}
		})
	}
}

// However many requests are made, the head start remembers 256.
func TestHeadStartRemembersABoundedNumber(t *testing.T) {
	h := newHeadStart([]string{"turn:a:1"})
	for n := range 1000 {
		ask := allocated(t, stun.NewType(stun.MethodAllocate, stun.ClassRequest))
		binary.BigEndian.PutUint16(ask[8:], uint16(n)) // another transaction
		h.ask(ask, relayAt)
	}
	if len(h.asked) != 256 {
		t.Errorf("%d requests are remembered, want 256", len(h.asked))
	}
}

// A TURN client's socket shows the head start what it sends and receives.
func TestHeadStartOfASocket(t *testing.T) {
	relay, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer relay.Close()

	h := newHeadStart([]string{"turn:a:1"})
	n, err := newAgentNet(credentials{}, h, nil, nat64{})
	if err != nil {
		t.Fatal(err)
	}
	c, err := n.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()

	if _, err := c.WriteTo(allocated(t, stun.NewType(stun.MethodAllocate, stun.ClassRequest)),
		relay.LocalAddr()); err != nil {
		t.Fatal(err)
	}
	if _, err := relay.WriteTo(allocated(t, stun.NewType(stun.MethodAllocate, stun.ClassSuccessResponse)),
		c.LocalAddr()); err != nil {
		t.Fatal(err)
	}
	if err := c.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}

	if _, _, err := c.ReadFrom(make([]byte, 100)); err != nil || !h.wait(t.Context(), 0) {
		t.Errorf("read: %v; or the head start did not see the allocation", err)
	}
}

func accept(t *testing.T, l net.Listener) <-chan net.Conn {
	accepted := make(chan net.Conn, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			t.Error(err)
		}
		accepted <- c
	}()

	return accepted
}
