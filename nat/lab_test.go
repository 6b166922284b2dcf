//go:build linux

package nat

import (
	"net"
	"net/netip"
	"testing"

	"github.com/peephole-cam/peephole/test/natlab"
	"github.com/peephole-cam/peephole/test/noleak"
	"github.com/peephole-cam/peephole/turn"
)

func TestMain(m *testing.M) { noleak.Main(m) }

// server is an address with two ports that answer as a relay's second port does, and an old one that does not know
// RESPONSE-PORT.
type server struct{ first, second, old netip.AddrPort }

func newServer(t *testing.T, h *natlab.Host) (s server) {
	for _, at := range []*netip.AddrPort{&s.first, &s.second} {
		conn := listen(t, h)
		*at = conn.LocalAddr().(*net.UDPAddr).AddrPort()
		go turn.AnswerBindings(conn)
	}

	old := listen(t, h)
	s.old = old.LocalAddr().(*net.UDPAddr).AddrPort()
	go answerOld(old)
	return s
}

func listen(t *testing.T, h *natlab.Host) *net.UDPConn {
	t.Helper()
	conn, err := h.ListenPacket("udp4", netip.AddrPortFrom(h.IPv4(), 0).String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn.(*net.UDPConn)
}

func newTestSocket(t *testing.T, h *natlab.Host) *Socket {
	t.Helper()
	s := NewSocket(listen(t, h))
	t.Cleanup(func() { s.Close() })
	return s
}

// TestBehaviourIsFoundOut: for every kind of network, what is found out is what it is known to do.
func TestBehaviourIsFoundOut(t *testing.T) {
	t.Parallel()
	for _, kind := range natlab.Kinds() {
		if !kind.IPv4 {
			continue
		}
		t.Run(kind.Name, func(t *testing.T) {
			t.Parallel()
			lab := natlab.New(t)
			a, b := newServer(t, lab.Public("a")), newServer(t, lab.Public("b"))
			host := lab.Behind("host", kind)
			s, second := newTestSocket(t, host), newTestSocket(t, host)
			mapping, answers := s.Mapping(t.Context(), []netip.Addr{host.IPv4()}, []netip.AddrPort{a.first})
			want := NoMapping
			if kind.Behaviour.Translates || !kind.UDP {
				want = UnknownMapping // by one server
			}

			if mapping != want || (len(answers) == 1) != kind.UDP {
				t.Fatalf("mapping %q by one server, want %q; %d answers", mapping, want, len(answers))
			}
			if !kind.UDP {
				return
			}

			// These two are port-restricted like another kind, and each takes seconds.
			if kind.Name != natlab.DualStack.Name && kind.Name != natlab.CarrierGrade.Name {
				testFiltering(t, kind, s, second, answers[0], a, b)
			}
			hairpins, err := s.Hairpins(t.Context(), second, answers[0].Mapped)

			// A filter by address and port also drops what comes back by the hairpin, from a socket that this one has
			// not written to.
			filters := kind.Behaviour.Translates && kind.Behaviour.Filtering == natlab.AddressAndPortDependent
			wantHairpin := kind.Behaviour.Hairpin && !filters
			if err != nil || hairpins != wantHairpin {
				t.Errorf("hairpins: %t, %v; want %t", hairpins, err, wantHairpin)
			}

			if want != NoMapping {
				want = Mapping(kind.Behaviour.Mapping)
			}
			for _, servers := range [][]netip.AddrPort{{a.first, a.second}, {a.first, a.second, b.first, b.second}} {
				if mapping, _ := s.Mapping(t.Context(), []netip.Addr{host.IPv4()}, servers); mapping != want {
					t.Errorf("mapping %q by %d servers, want %q", mapping, len(servers), want)
				}
			}
		})
	}
}

func testFiltering(t *testing.T, kind natlab.Kind, s, second *Socket, asked Binding, a, b server) {
	t.Helper()

	// near and far are what can be found out with one address alone, and with the second address alone.
	want, near, far := Filtering(kind.Behaviour.Filtering), UnknownFiltering, UnknownFiltering
	if want == AddressAndPortFiltering {
		near = want
	}
	if want == OpenFiltering {
		far = want
	}

	type row struct {
		name      string
		near, far netip.AddrPort
		want      Filtering
	}

	rows := []row{{"by a second port and a second address", a.second, b.first, want}}
	if kind.Name == natlab.Open.Name || kind.Name == natlab.PortRestricted.Name { // not for all: each takes seconds
		rows = append(rows, []row{
			{"by a second port", a.second, netip.AddrPort{}, near},
			{"by a second port, and an address that does not know how", a.second, b.old, near},
			{"by a port that does not know how, and a second address", a.old, b.first, far},
			{"by nothing", netip.AddrPort{}, netip.AddrPort{}, UnknownFiltering},
		}...)
	}

	for _, tt := range rows {
		if got, err := s.Filtering(t.Context(), second, asked, tt.near, tt.far); err != nil || got != tt.want {
			t.Errorf("filtering %s: %q, %v; want %q", tt.name, got, err, tt.want)
		}
	}
}
