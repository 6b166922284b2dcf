//go:build linux

package natlab

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// A reflector has two addresses with two ports each, and tells its clients at what address it sees them, as RFC 5780
// requires of a STUN server. A request is "NONCE ADDRESS PORT": which address and which port (0 or 1) must answer. The
// answer is "NONCE answer MAPPED", and after it, from where the request went, "NONCE end MAPPED". The two leave in this
// order over one line, so a client that receives the end without the answer will never get the answer.
type reflector struct {
	network *Network
	hosts   [2]*Host
	conns   [2][2]net.PacketConn
}

// newReflector runs a reflector on two hosts of a public network.
func newReflector(t *testing.T, lab *Lab, family string) *reflector {
	t.Helper()
	r := &reflector{network: lab.Network(Open)}
	for i := range r.hosts {
		r.hosts[i] = r.network.Host(fmt.Sprintf("reflector%d-%s", i, family))
		for j := range r.conns[i] {
			r.conns[i][j] = listen(t, r.hosts[i], family)
		}
	}

	for i := range r.conns {
		for j := range r.conns[i] {
			go r.serve(r.conns[i][j])
		}
	}

	return r
}

func listen(t *testing.T, h *Host, family string) net.PacketConn {
	t.Helper()
	address := map[string]netip.Addr{"udp4": h.IPv4(), "udp6": h.IPv6()}[family]
	if !address.IsValid() { // IPv4 by NAT64
		family, address = "udp6", h.IPv6()
	}

	conn, err := h.ListenPacket(family, netip.AddrPortFrom(address, 0).String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func (r *reflector) serve(conn net.PacketConn) {
	buffer := make([]byte, 1500)
	for {
		n, from, err := conn.ReadFrom(buffer)
		if err != nil {
			return
		}
		var nonce string
		var i, j int
		if k, _ := fmt.Sscanf(string(buffer[:n]), "%s %d %d", &nonce, &i, &j); k != 3 || i&^1 != 0 || j&^1 != 0 {
			continue
		}
		_, _ = r.conns[i][j].WriteTo(fmt.Appendf(nil, "%s answer %s", nonce, from), from)
		_, _ = conn.WriteTo(fmt.Appendf(nil, "%s end %s", nonce, from), from)
	}
}

// address returns the address of one of its sockets.
func (r *reflector) address(i, j int) netip.AddrPort {
	return r.conns[i][j].LocalAddr().(*net.UDPAddr).AddrPort()
}

// A socket is a host's, which asks reflectors and peers.
type socket struct {
	net.PacketConn
	host  *Host
	heard chan packetFrom
}

type packetFrom struct {
	text string
	from netip.AddrPort
}

func newSocket(t *testing.T, h *Host, family string) *socket {
	t.Helper()
	s := &socket{listen(t, h, family), h, make(chan packetFrom, 256)}
	go func() {
		buffer := make([]byte, 1500)
		for {
			n, from, err := s.ReadFrom(buffer)
			if err != nil {
				if strings.Contains(err.Error(), "use of closed") {
					return
				}
				continue // an ICMP error about an earlier packet
			}

			peer := from.(*net.UDPAddr).AddrPort()
			if wellKnown.Contains(peer.Addr()) {
				peer = netip.AddrPortFrom(embedded(peer.Addr()), peer.Port())
			}
			select {
			case s.heard <- packetFrom{string(buffer[:n]), peer}:
			default: // nobody listens any more
			}
		}
	}()

	return s
}

func (s *socket) local() netip.AddrPort { return s.LocalAddr().(*net.UDPAddr).AddrPort() }

func (s *socket) send(t *testing.T, to netip.AddrPort, text string) {
	t.Helper()
	to = netip.AddrPortFrom(s.host.network.Reach(to.Addr()), to.Port())
	if _, err := s.WriteTo([]byte(text), net.UDPAddrFromAddrPort(to)); err != nil {
		t.Logf("send to %s: %v", to, err) // as good as lost
	}
}

var nonces atomic.Int64

// reply is the result of a request to a reflector.
type reply struct {
	ended    bool // the end came back
	mapped   netip.AddrPort
	answered bool            // the answer from the other address or port came, too
	others   map[string]bool // what else was received meanwhile
}

// ask asks the reflector's socket at for an answer from its socket from.
func (s *socket) ask(t *testing.T, r *reflector, at, from [2]int) reply {
	t.Helper()
	var got reply
	for range 4 {
		if got = s.askOnce(t, r, at, from); got.ended {
			break
		}
	}

	return got
}

func (s *socket) askOnce(t *testing.T, r *reflector, at, from [2]int) (got reply) {
	t.Helper()
	nonce := fmt.Sprintf("question-%d", nonces.Add(1))
	got.others = make(map[string]bool)
	s.send(t, r.address(at[0], at[1]), fmt.Sprintf("%s %d %d", nonce, from[0], from[1]))

	late := time.After(time.Second)
	for {
		select {
		case p := <-s.heard:
			switch fields := strings.Fields(p.text); {
			case fields[0] != nonce:
				got.others[p.text] = true
			case fields[1] == "answer" && p.from == r.address(from[0], from[1]):
				got.answered = true
			case fields[1] == "end":
				got.ended, got.mapped = true, netip.MustParseAddrPort(fields[2])
				// kernels with two processors swap packets at times
				if late = time.After(30 * time.Millisecond); got.answered {
					return got
				}
			}
		case <-late:
			return got
		}
	}
}

// mapped asks for the address at which the reflector's socket sees this one; it must answer.
func (s *socket) mapped(t *testing.T, r *reflector, i, j int) netip.AddrPort {
	t.Helper()
	got := s.ask(t, r, [2]int{i, j}, [2]int{i, j})
	if !got.ended {
		t.Fatalf("%s: no answer from %s", s.local(), r.address(i, j))
	}
	return got.mapped
}

// behaviour measures what the host's network does, with the help of a neighbour in the same network. It reports false
// if nothing gets out.
func (r *reflector) behaviour(t *testing.T, h, neighbour *Host, family string) (b Behaviour, out bool) {
	t.Helper()
	s := newSocket(t, h, family)
	if !s.ask(t, r, [2]int{0, 0}, [2]int{0, 0}).ended {
		return b, false
	}
	b.Mapping, b.Ports, b.Translates = r.mapping(t, h, family)
	b.Filtering = r.filtering(t, h, family)
	b.Hairpin = r.hairpin(t, h, neighbour, family)

	return b, true
}

func (r *reflector) mapping(t *testing.T, h *Host, family string) (d Dependence, p Ports, translates bool) {
	t.Helper()
	var mappings []netip.AddrPort // each new
	dependsOn := map[string]int{}
	const sockets = 4
	preserved := true
	for range sockets {
		s := newSocket(t, h, family)
		first, port, address := s.mapped(t, r, 0, 0), s.mapped(t, r, 0, 1), s.mapped(t, r, 1, 0)
		mappings = append(mappings, first)
		if port != first {
			dependsOn["port"]++
			mappings = append(mappings, port)
		}

		if address != first {
			dependsOn["address"]++
			mappings = append(mappings, address)
		}
		translates = translates || first.Addr() != s.local().Addr()
		preserved = preserved && first.Port() == s.local().Port()
	}

	switch {
	case dependsOn["address"] == 0 && dependsOn["port"] == 0:
		d = EndpointIndependent
	case dependsOn["address"] == sockets && dependsOn["port"] == 0:
		d = AddressDependent
	case dependsOn["address"] == sockets && dependsOn["port"] == sockets:
		d = AddressAndPortDependent
	default:
		t.Errorf("a mapping whose dependence has no name: %v of %d", dependsOn, sockets)
	}

	sequential := true
	for i := range mappings[1:] {
		sequential = sequential && mappings[i+1].Port() == mappings[i].Port()+1
	}
	switch {
	case preserved:
		p = Preserved
	case sequential:
		p = Sequential
	default:
		p = Random
	}

	return d, p, translates
}

// filtering asks, each time from a new socket, for answers from addresses that it has not sent to.
func (r *reflector) filtering(t *testing.T, h *Host, family string) Dependence {
	t.Helper()
	port := newSocket(t, h, family).ask(t, r, [2]int{0, 0}, [2]int{0, 1})
	address := newSocket(t, h, family).ask(t, r, [2]int{0, 0}, [2]int{1, 0})
	if !port.ended || !address.ended {
		t.Fatal("no answer")
	}

	switch {
	case address.answered && port.answered:
		return EndpointIndependent
	case port.answered:
		return AddressDependent
	case address.answered:
		t.Error("a filter that minds the port and not the address")
	}

	return AddressAndPortDependent
}

// hairpin lets two neighbours send to each other's mapped addresses, twice, so that no filter is in the way.
func (r *reflector) hairpin(t *testing.T, h, neighbour *Host, family string) bool {
	t.Helper()
	a, b := newSocket(t, h, family), newSocket(t, neighbour, family)
	mappedA, mappedB := a.mapped(t, r, 0, 0), b.mapped(t, r, 0, 0)
	for range 2 {
		a.send(t, mappedB, "hairpin-a")
		b.send(t, mappedA, "hairpin-b")
	}

	atA, atB := a.ask(t, r, [2]int{0, 0}, [2]int{0, 0}), b.ask(t, r, [2]int{0, 0}, [2]int{0, 0})
	if atA.others["hairpin-b"] != atB.others["hairpin-a"] {
		t.Error("a hairpin in one direction only")
	}
	return atA.others["hairpin-b"]
}

// patience ends what hangs.
const patience = 2 * time.Minute

// eventually waits until is returns true.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	late := time.After(patience)
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for !is() {
		select {
		case <-look.C:
		case <-late:
			t.Fatalf("not within %s: %s", patience, what)
		}
	}
}
