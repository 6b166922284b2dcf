package turnclient

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/pion/stun/v3"
	"github.com/pion/transport/v5"
)

var (
	remoteOfTest = netip.MustParseAddrPort("203.0.113.7:5000")
	startOfTest  = time.Unix(1e9, 0)
)

// leave returns how many checks leave if an agent makes one per interval.
func leave(p *checkPacer, from, to, every time.Duration) (n int) {
	for at := from; at < to; at += every {
		if p.due(remoteOfTest, startOfTest.Add(at)) {
			n++
		}
	}
	return n
}

func TestChecksOfASilentPairArePaced(t *testing.T) {
	p := newCheckPacer()
	if n := leave(p, 0, checkInterval, time.Millisecond); n != 1 {
		t.Errorf("%d checks left at once, want 1", n)
	}
	if n := leave(p, checkInterval, time.Second, time.Millisecond); n != eagerChecks-1 {
		t.Errorf("%d more left within a second, want %d", n, eagerChecks-1)
	}

	if n := leave(p, time.Second, 11*time.Second, 140*time.Millisecond); n < 8 || n > 10 {
		t.Errorf("%d left in ten seconds of silence, want one a second", n)
	}
}

// At an agent's own pace of one every 200 ms, none of the first checks is held back.
func TestChecksAtTheAgentsOwnPaceLeave(t *testing.T) {
	if n := leave(newCheckPacer(), 0, 200*time.Millisecond*eagerChecks, 200*time.Millisecond); n != eagerChecks {
		t.Errorf("%d of %d left", n, eagerChecks)
	}
}

func TestPairThatAnswersKeepsTheAgentsPace(t *testing.T) {
	p := newCheckPacer()
	leave(p, 0, 3*time.Second, time.Millisecond)
	if !p.due(remoteOfTest, startOfTest.Add(3900*time.Millisecond)) {
		t.Error("a check after a long silence is held back")
	}

	p.hear(remoteOfTest)
	if at := startOfTest.Add(3901 * time.Millisecond); !p.due(remoteOfTest, at) || p.due(remoteOfTest, at) {
		t.Error("after a check of the other end, exactly one check must leave at once")
	}
	if n := leave(p, 4*time.Second, 5400*time.Millisecond, 140*time.Millisecond); n != 10 {
		t.Errorf("%d of 10 left", n)
	}

	p.hear(netip.MustParseAddrPort("192.0.2.9:9"))
	if len(p.pairs) != 1 {
		t.Errorf("%d pairs are kept, want none for a stranger", len(p.pairs))
	}
}

// scriptedSocket is a socket that reads what the test gives it, and counts the packets that it sends.
type scriptedSocket struct {
	transport.UDPConn
	come []packetFrom
	sent int
}

type packetFrom struct {
	b    []byte
	from *net.UDPAddr
}

func (s *scriptedSocket) WriteTo(b []byte, _ net.Addr) (int, error) {
	s.sent++
	return len(b), nil
}

func (s *scriptedSocket) ReadFrom(b []byte) (int, net.Addr, error) {
	if len(s.come) == 0 {
		return 0, nil, net.ErrClosed
	}
	first := s.come[0]
	s.come = s.come[1:]
	return copy(b, first.b), first.from, nil
}

func bindingMessage(t *testing.T, setters ...stun.Setter) []byte {
	t.Helper()
	m, err := stun.Build(append([]stun.Setter{stun.TransactionID}, setters...)...)
	if err != nil {
		t.Fatal(err)
	}
	return m.Raw
}

// useCandidate is USE-CANDIDATE, RFC 8445 section 7.1.2.
type useCandidate struct{}

func (useCandidate) AddTo(m *stun.Message) error {
	m.Add(stun.AttrUseCandidate, nil)
	return nil
}

func TestOnlyPlainChecksAreHeldBack(t *testing.T) {
	to := net.UDPAddrFromAddrPort(remoteOfTest)
	for _, tt := range []struct {
		name string
		b    []byte
		want int
	}{
		{"check", bindingMessage(t, stun.BindingRequest), 1},
		{"nomination", bindingMessage(t, stun.BindingRequest, useCandidate{}), 20},
		{"answer", bindingMessage(t, stun.BindingSuccess), 20},
		{"refusal", bindingMessage(t, stun.BindingError), 20},
		{"RTP", append([]byte{0x80, 96}, make([]byte, 30)...), 20},
		{"DTLS", append([]byte{22, 0xfe, 0xfd}, make([]byte, 30)...), 20},
		{"short", []byte{0, 1}, 20},
		{"empty", nil, 20},
	} {
		socket := &scriptedSocket{}
		c := pacedConn{socket, newCheckPacer(), newCheckSources()}
		for range 20 {
			if n, err := c.WriteTo(tt.b, to); n != len(tt.b) || err != nil {
				t.Fatalf("%s: wrote %d, %v", tt.name, n, err)
			}
		}

		if socket.sent != tt.want {
			t.Errorf("%s: %d of 20 left, want %d", tt.name, socket.sent, tt.want)
		}
	}
}

// Once a session has answered checks from maxSources addresses, checks from others do not reach ICE, but everything
// else does. Addresses that were not answered, because they lack the password, take nobody's place.
func TestSourcesOfChecksAreBounded(t *testing.T) {
	check, answer := bindingMessage(t, stun.BindingRequest), bindingMessage(t, stun.BindingSuccess)
	at := func(port int) *net.UDPAddr { return &net.UDPAddr{IP: net.IPv4(203, 0, 113, 7), Port: port} }
	socket := &scriptedSocket{}
	c := pacedConn{socket, newCheckPacer(), newCheckSources()}
	reaches := func(b []byte, from *net.UDPAddr) bool {
		socket.come = []packetFrom{{b, from}}
		_, _, err := c.ReadFrom(make([]byte, 1500))
		return err == nil
	}

	for port := range 10 * maxSources {
		if !reaches(check, at(1+port)) {
			t.Fatalf("a check from stranger %d was dropped", port)
		}
	}

	for port := range maxSources {
		if _, err := c.WriteTo(answer, at(1000+port)); err != nil {
			t.Fatal(err)
		}
	}

	for _, tt := range []struct {
		name string
		b    []byte
		from int
		want bool
	}{
		{"check from an address that was answered", check, 1000, true},
		{"check from the last that was", check, 1000 + maxSources - 1, true},
		{"check from one more", check, 2000, false},
		{"answer from one more", answer, 2000, true},
		{"media from one more", append([]byte{0x80, 96}, make([]byte, 30)...), 2000, true},
	} {
		if got := reaches(tt.b, at(tt.from)); got != tt.want {
			t.Errorf("%s reaches ICE: %v, want %v", tt.name, got, tt.want)
		}
	}

	other := pacedConn{socket, newCheckPacer(), c.sources}
	if _, _, err := other.ReadFrom(nil); err == nil {
		t.Error("an empty socket gave a packet")
	}
	socket.come = []packetFrom{{check, at(2000)}}
	if _, _, err := other.ReadFrom(make([]byte, 1500)); err == nil {
		t.Error("another socket of the session admits one more")
	}
}
