//go:build linux

package natlab

import (
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"
)

// A translator is a NAT of our own, for behaviours that Linux does not have. It translates UDP and TCP over IPv4, and
// ICMP errors about them on their way in; it drops fragments and everything else. It does not notice how a TCP
// connection ends.
type translator struct {
	behaviour Behaviour
	public    netip.Addr
	timeout   time.Duration // of an idle UDP mapping

	mu       sync.Mutex
	mappings map[mappingKey]*mapping
	ports    map[portKey]*mapping
	first    uint16 // of the ports that are given out, up to the highest port
	last     uint16 // the port that was given out last
	shift    uint16 // grows when ports have to differ from earlier ones
	random   *rand.Rand
}

// A mapping is a port of the outside that belongs to a socket inside.
type mapping struct {
	key    mappingKey
	port   uint16
	peers  map[netip.AddrPort]bool // that the socket sent to, as far as the filter distinguishes them
	used   time.Time               // when it last sent (RFC 4787, REQ-6: what comes in keeps no mapping alive)
	expiry time.Duration
}

type mappingKey struct {
	protocol uint8
	inside   netip.AddrPort
	peer     netip.AddrPort // as far as mappings depend on it
}

type portKey struct {
	protocol uint8
	port     uint16
}

const (
	udpTimeout = 2 * time.Minute // the least that RFC 4787, REQ-5 allows
	tcpTimeout = 2*time.Hour + 4*time.Minute
)

func newTranslator(b Behaviour, public netip.Addr, timeout time.Duration) *translator {
	t := &translator{
		behaviour: b,
		public:    public,
		timeout:   timeout,
		first:     1024,
		last:      40000,
		random:    rand.New(rand.NewPCG(3, 0)),
	}
	if t.timeout == 0 {
		t.timeout = udpTimeout
	}

	t.clear()
	return t
}

func (t *translator) clear() {
	t.mappings, t.ports = make(map[mappingKey]*mapping), make(map[portKey]*mapping)
}

func (t *translator) forget(newPorts bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.clear()
	if newPorts {
		t.shift += 1009
		t.last += 1009
	}
}

// keep returns as much of a peer's address as a mapping or filter depends on.
func (d Dependence) keep(peer netip.AddrPort) netip.AddrPort {
	switch d {
	case EndpointIndependent:
		return netip.AddrPort{}
	case AddressDependent:
		return netip.AddrPortFrom(peer.Addr(), 0)
	}
	return peer
}

func (t *translator) outward(p []byte) (out, back []byte) {
	h, ok := parse(p)
	if h.version == 6 {
		return p, nil
	}
	if !ok || h.protocol != UDP && h.protocol != TCP {
		return nil, nil
	}

	hairpin := h.dst.Addr() == t.public
	if hairpin && !t.behaviour.Hairpin {
		return nil, nil
	}
	src, ok := t.source(h.protocol, h.src, h.dst)
	if !ok {
		return nil, nil
	}

	h.setSource(p, src)
	if hairpin { // RFC 4787, REQ-9: it comes from the outside address
		return nil, t.inward(p)
	}
	return p, nil
}

func (t *translator) inward(p []byte) []byte {
	h, ok := parse(p)
	if h.version == 6 {
		return p
	}
	if !ok || h.dst.Addr() != t.public {
		return nil
	}
	if h.protocol == ICMP {
		return t.inwardError(p, h)
	}

	dst, ok := t.destination(h.protocol, h.dst.Port(), h.src)
	if !ok {
		return nil
	}
	h.setDestination(p, dst)
	return p
}

// inwardError translates an ICMP error about a packet of a mapping.
func (t *translator) inwardError(p []byte, h header) []byte {
	const unreachable, timeExceeded, parameterProblem, icmpHeader = 3, 11, 12, 8
	switch p[h.payload] {
	case unreachable, timeExceeded, parameterProblem:
	default:
		return nil
	}

	about := p[h.payload+icmpHeader:]
	inner, ok := parse(about)
	if !ok || inner.src.Addr() != t.public {
		return nil
	}
	t.mu.Lock()
	m := t.live(portKey{inner.protocol, inner.src.Port()})
	t.mu.Unlock()
	if m == nil {
		return nil
	}

	inner.setSource(about, m.key.inside)
	h.setDestination(p, netip.AddrPortFrom(m.key.inside.Addr(), 0))
	sumICMP(p[h.payload:])
	return p
}

// source returns the outside address for what a socket inside sends to peer. It reports false if no port is left.
func (t *translator) source(protocol uint8, inside, peer netip.AddrPort) (netip.AddrPort, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	key := mappingKey{protocol, inside, t.behaviour.Mapping.keep(peer)}
	m := t.mappings[key]
	if m == nil || m.expired() {
		m = t.create(key)
	}

	if m == nil {
		return netip.AddrPort{}, false
	}
	m.used = time.Now()
	m.peers[t.behaviour.Filtering.keep(peer)] = true
	return netip.AddrPortFrom(t.public, m.port), true
}

// destination returns the socket inside that gets what peer sends to a port of the outside. It reports false if there
// is none.
func (t *translator) destination(protocol uint8, port uint16, peer netip.AddrPort) (netip.AddrPort, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	m := t.live(portKey{protocol, port})
	if m == nil || !m.peers[t.behaviour.Filtering.keep(peer)] {
		return netip.AddrPort{}, false
	}
	return m.key.inside, true
}

// live returns the mapping of a port, or nil if there is none any more. t.mu must be held.
func (t *translator) live(k portKey) *mapping {
	if m := t.ports[k]; m != nil && !m.expired() {
		return m
	}
	return nil
}

func (m *mapping) expired() bool { return time.Since(m.used) >= m.expiry }

// create makes a mapping, or returns nil if all ports are taken. t.mu must be held.
func (t *translator) create(key mappingKey) *mapping {
	t.remove(t.mappings[key])
	port := t.last + 1
	if own := key.inside.Port() + t.shift; t.behaviour.Ports == Preserved && own >= t.first &&
		t.live(portKey{key.protocol, own}) == nil {
		port = own
	} else if t.behaviour.Ports != Sequential {
		port = t.first + uint16(t.random.UintN(t.count()))
	}

	for range t.count() {
		port = max(port, t.first)
		if k := (portKey{key.protocol, port}); t.live(k) == nil {
			t.remove(t.ports[k])
			m := &mapping{key: key, port: port, peers: make(map[netip.AddrPort]bool), expiry: t.timeout}
			if key.protocol == TCP {
				m.expiry = tcpTimeout
			}
			t.ports[k], t.mappings[key], t.last = m, m, port
			return m
		}
		port++ // after the last comes 0
	}

	return nil
}

// count returns how many ports there are.
func (t *translator) count() uint { return 1<<16 - uint(t.first) }

// remove forgets a mapping. Mappings that nobody ever asks for again are no more than there are ports. t.mu must be
// held.
func (t *translator) remove(m *mapping) {
	if m != nil {
		delete(t.mappings, m.key)
		delete(t.ports, portKey{m.key.protocol, m.port})
	}
}
