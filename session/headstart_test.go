package session

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/stun/v3"
)

func allocated(t *testing.T, kind stun.MessageType) []byte {
	t.Helper()
	m, err := stun.Build(stun.TransactionID, kind)
	if err != nil {
		t.Fatal(err)
	}
	return m.Raw
}

// An allocation over UDP, and nothing else, makes the other ways needless; without one nobody waits longer than is said.
func TestHeadStart(t *testing.T) {
	granted := allocated(t, stun.NewType(stun.MethodAllocate, stun.ClassSuccessResponse))
	refused := allocated(t, stun.NewType(stun.MethodAllocate, stun.ClassErrorResponse))
	binding := allocated(t, stun.BindingSuccess)
	for _, tt := range []struct {
		name string
		urls []string
		hear [][]byte
		at   time.Duration
		want bool
		took time.Duration
	}{
		{"granted in time", []string{"turn:a:1?transport=udp"}, [][]byte{refused, granted, granted}, 100 * time.Millisecond, true, 100 * time.Millisecond},
		{"granted before", []string{"turn:a:1"}, [][]byte{granted}, 0, true, 0},
		{"too late", []string{"turn:a:1?transport=udp"}, [][]byte{granted}, time.Second, false, udpHeadStart},
		{"refused", []string{"turn:a:1?transport=udp"}, [][]byte{refused, binding, nil, {1, 3}, granted[:19]}, 100 * time.Millisecond, false, udpHeadStart},
		{"no UDP", []string{"stun:a:1", "turn:a:1?transport=tcp", "turns:a:443?transport=tcp"}, [][]byte{granted}, 0, false, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHeadStart(tt.urls)
				hear := func() {
					for _, b := range tt.hear {
						h.hear(b)
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
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		began := time.Now()
		if newHeadStart([]string{"turn:a:1"}).wait(ctx, udpHeadStart) || time.Since(began) != 50*time.Millisecond {
			t.Errorf("a session that ends waits for %v", time.Since(began))
		}
	})
}

// Where UDP has reached the relay, it is not connected to by TCP; also if that comes about while it is being connected to.
func TestTURNDialerAfterUDP(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	granted := allocated(t, stun.NewType(stun.MethodAllocate, stun.ClassSuccessResponse))
	h := newHeadStart([]string{"turn:a:1"})
	d := newTURNDialer(t.Context(), nil, nil, h)
	began := time.Now()
	conn, err := d.Dial("tcp4", l.Addr().String())
	if err != nil || time.Since(began) < udpHeadStart {
		t.Fatalf("UDP is silent: %v after %v", err, time.Since(began))
	}
	conn.Close()
	(<-accept(t, l)).Close()
	h.hear(granted)
	if _, err := d.Dial("tcp4", l.Addr().String()); !errors.Is(err, errNotNeeded) {
		t.Errorf("UDP works: %v", err)
	}
	server, trust := tlsConfigs(t)
	slow := newTURNDialer(t.Context(), []string{"turns:" + l.Addr().String()}, trust, newHeadStart([]string{"turn:a:1"}))
	ended := make(chan error, 1)
	go func() { _, err := slow.Dial("tcp4", l.Addr().String()); ended <- err }()
	held := <-accept(t, l)
	defer held.Close()
	slow.udp.hear(granted)
	if err := tls.Server(held, server).Handshake(); err != nil {
		t.Error(err)
	}
	if err := <-ended; !errors.Is(err, errNotNeeded) {
		t.Errorf("UDP came to work meanwhile: %v", err)
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
