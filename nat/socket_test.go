package nat

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/stun/v3"

	"github.com/peephole-cam/peephole/turn"
)

// answerOld answers Binding requests at the address that they come from, whatever they ask for.
func answerOld(conn *net.UDPConn) {
	answerWith(conn, func(m *stun.Message, from netip.AddrPort) []*stun.Message {
		return []*stun.Message{stun.MustBuild(m, stun.BindingSuccess,
			&stun.XORMappedAddress{IP: from.Addr().Unmap().AsSlice(), Port: int(from.Port())})}
	})
}

func answerWith(conn *net.UDPConn, answer func(*stun.Message, netip.AddrPort) []*stun.Message) {
	p := make([]byte, 1500)
	for {
		n, from, err := conn.ReadFromUDPAddrPort(p)
		if err != nil {
			return
		}
		m := &stun.Message{Raw: p[:n]}
		if m.Decode() != nil {
			continue
		}

		for _, a := range answer(m, from) {
			_, _ = conn.WriteToUDPAddrPort(a.Raw, from)
		}
	}
}

func loopback(t *testing.T) *net.UDPConn {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// TestLoopbackHasNoNAT: on one machine there is none.
func TestLoopbackHasNoNAT(t *testing.T) {
	a, b := loopback(t), loopback(t)
	go turn.AnswerBindings(a)
	go answerOld(b)
	s, err := Listen("udp4")
	if err != nil {
		t.Fatal(err)
	}

	defer s.Close()
	servers := []netip.AddrPort{a.LocalAddr().(*net.UDPAddr).AddrPort(), b.LocalAddr().(*net.UDPAddr).AddrPort()}
	mapping, answers := s.Mapping(t.Context(), Here(), servers)
	if mapping != NoMapping || len(answers) != 2 || answers[0].Server != servers[0] || answers[1].Server != servers[1] {
		t.Errorf("%s, %+v", mapping, answers)
	}

	for _, b := range answers {
		if b.Mapped.Port() != s.Port() || b.Took <= 0 || b.Took > time.Minute {
			t.Errorf("%+v", b)
		}
	}
}

// TestOnlyTheServersAnswerCounts: a message that is not the answer of the server asked is ignored.
func TestOnlyTheServersAnswerCounts(t *testing.T) {
	mapped := &stun.XORMappedAddress{IP: net.IPv4(192, 0, 2, 1), Port: 7}
	other := loopback(t)
	for name, answer := range map[string]func(*stun.Message, netip.AddrPort) []*stun.Message{
		"nothing": func(*stun.Message, netip.AddrPort) []*stun.Message { return nil },
		"another transaction": func(*stun.Message, netip.AddrPort) []*stun.Message {
			return []*stun.Message{stun.MustBuild(stun.TransactionID, stun.BindingSuccess, mapped)}
		},
		"an error": func(m *stun.Message, _ netip.AddrPort) []*stun.Message {
			return []*stun.Message{stun.MustBuild(m, stun.BindingError, mapped)}
		},
		"no address": func(m *stun.Message, _ netip.AddrPort) []*stun.Message {
			return []*stun.Message{stun.MustBuild(m, stun.BindingSuccess)}
		},
		"another server": func(m *stun.Message, from netip.AddrPort) []*stun.Message {
			_, _ = other.WriteToUDPAddrPort(stun.MustBuild(m, stun.BindingSuccess, mapped).Raw, from)
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := loopback(t)
			go answerWith(server, answer)
			s := NewSocket(loopback(t))
			defer s.Close()
			if b, err := s.Bind(t.Context(), server.LocalAddr().(*net.UDPAddr).AddrPort()); !errors.Is(err, ErrSilent) {
				t.Errorf("%+v, %v", b, err)
			}
		})
	}
}

// TestExchangeSurvivesLossAndCopies: a lost packet is sent again, a copy of an answer does no harm, and a wait ends
// with its context.
func TestExchangeSurvivesLossAndCopies(t *testing.T) {
	server, s := loopback(t), NewSocket(loopback(t))
	defer s.Close()
	at := server.LocalAddr().(*net.UDPAddr).AddrPort()
	var requests atomic.Int64
	go answerWith(server, func(m *stun.Message, from netip.AddrPort) []*stun.Message {
		if requests.Add(1) == 1 {
			return nil // lost
		}
		a := stun.MustBuild(m, stun.BindingSuccess,
			&stun.XORMappedAddress{IP: from.Addr().AsSlice(), Port: int(from.Port())})
		return []*stun.Message{a, a, a}
	})

	for range 2 {
		if b, err := s.Bind(t.Context(), at); err != nil || b.Mapped.Port() != s.Port() {
			t.Errorf("%+v, %v", b, err)
		}
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	asked := requests.Load()
	for range 100 {
		if _, err := s.Bind(ctx, at); !errors.Is(err, context.Canceled) {
			t.Fatalf("%v, want the context's end", err)
		}
	}

	if _, err := s.Bind(t.Context(), at); err != nil { // arrives after everything sent before
		t.Error(err)
	}
	if n := requests.Load() - asked; n > int64(len(retryAfter)) {
		t.Errorf("%d requests, although nobody waited for an answer", n)
	}
}
