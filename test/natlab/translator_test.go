//go:build linux

package natlab

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/test/bubble"
)

// Measures every mapping with every filter, from both sides.
func TestTranslatorsFollowTheirKind(t *testing.T) {
	t.Parallel()
	lab := New(t)
	r := newReflector(t, lab, "udp4")
	dependences := []Dependence{EndpointIndependent, AddressDependent, AddressAndPortDependent}
	ports := []Ports{Preserved, Sequential, Random}
	for i, mapping := range dependences {
		for j, filtering := range dependences {
			b := Behaviour{
				Translates: true,
				Mapping:    mapping,
				Filtering:  filtering,
				Ports:      ports[(i+j)%3],
				Hairpin:    (i+j)%2 == 0,
			}

			if mapping != EndpointIndependent && filtering != EndpointIndependent {
				// this cannot be measured: neighbours send to each other from ports that the other does not know
				b.Hairpin = false
			}
			t.Run(fmt.Sprintf("%+v", b), func(t *testing.T) {
				network := lab.Network(Translated("any", b))
				if got, _ := r.behaviour(t, network.Host("host"), network.Host("neighbour"), "udp4"); got != b {
					t.Errorf("measured %+v", got)
				}
			})
		}
	}
}

var (
	inside  = netip.MustParseAddrPort("192.168.1.2:5000")
	outside = netip.MustParseAddr("203.0.113.1")
	peer    = netip.MustParseAddrPort("198.51.100.2:3478")
)

// packetOf makes an IPv4 packet with right checksums.
func packetOf(protocol uint8, src, dst netip.AddrPort, text string) []byte {
	transport := map[uint8]int{UDP: 8, TCP: 20}[protocol]
	p := make([]byte, 20+transport, 20+transport+len(text))
	p = append(p, text...)
	p[0], p[8], p[9] = 0x45, 64, protocol
	binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
	a, b := src.Addr().As4(), dst.Addr().As4()
	copy(p[12:], a[:])
	copy(p[16:], b[:])
	binary.BigEndian.PutUint16(p[10:], ^sum(p[:20]))
	binary.BigEndian.PutUint16(p[20:], src.Port())
	binary.BigEndian.PutUint16(p[22:], dst.Port())
	if protocol == UDP {
		binary.BigEndian.PutUint16(p[24:], uint16(8+len(text)))
	}

	binary.BigEndian.PutUint16(p[checksumAt(protocol, 20):], ^covered(p))
	return p
}

func checksumAt(protocol uint8, payload int) int {
	return payload + map[uint8]int{UDP: 6, TCP: 16}[protocol]
}

// covered returns the sum of everything that a UDP or TCP checksum covers; 0xffff if the checksum is right.
func covered(p []byte) uint16 {
	h, _ := parse(p)
	addresses := p[12:20]
	if h.version == 6 {
		addresses = p[8:40]
	}
	return fold(uint32(sum(addresses)) + uint32(h.protocol) + uint32(len(p)-h.payload) + uint32(sum(p[h.payload:])))
}

// right checks all checksums of a packet.
func right(t *testing.T, p []byte) header {
	t.Helper()
	h, ok := parse(p)
	if !ok || h.version == 4 && sum(p[:20]) != 0xffff || covered(p) != 0xffff {
		t.Errorf("wrong packet: parsed %v, header sums to %x, body to %x: %x", ok, sum(p[:20]), covered(p), p)
	}
	return h
}

// A mapping lives as long as its socket sends, whatever comes in, and not longer.
func TestTranslatorForgets(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		for _, tt := range []struct {
			protocol uint8
			timeout  time.Duration // asked for
			life     time.Duration
		}{{UDP, 0, 2 * time.Minute}, {UDP, 30 * time.Second, 30 * time.Second},
			{TCP, 30 * time.Second, 124 * time.Minute}} {
			n := newTranslator(RestrictedCone.Behaviour, outside, tt.timeout)
			send := func() netip.AddrPort {
				out, _ := n.outward(packetOf(tt.protocol, inside, peer, "out"))
				return right(t, out).src
			}
			mapped := send()
			answered := func() bool {
				in := n.inward(packetOf(tt.protocol, peer, mapped, "answer"))
				return in != nil && right(t, in).dst == inside
			}
			if mapped != netip.AddrPortFrom(outside, inside.Port()) || !answered() {
				t.Errorf("%d: mapped to %s", tt.protocol, mapped)
			}

			for range 3 {
				time.Sleep(tt.life - time.Second)
				send()
			}
			time.Sleep(tt.life - time.Second)
			if !answered() {
				t.Errorf("%d, %v: forgotten early", tt.protocol, tt.timeout)
			}

			time.Sleep(time.Second)
			if answered() {
				t.Errorf("%d, %v: not forgotten", tt.protocol, tt.timeout)
			}
			if send() != mapped || len(n.ports) != 1 || len(n.mappings) != 1 {
				t.Errorf("the port of a forgotten mapping is not free, or is kept: %d, %d", len(n.ports),
					len(n.mappings))
			}
		}
	})
}

// When all ports are given out, the next socket gets none, and nobody loses theirs.
func TestTranslatorRunsOut(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		const count = 3000
		for _, ports := range []Ports{Preserved, Sequential, Random} {
			n := newTranslator(Behaviour{
				Mapping:   EndpointIndependent,
				Filtering: EndpointIndependent,
				Ports:     ports,
			}, outside, 0)

			n.first = 1<<16 - count
			given := make(map[netip.AddrPort]netip.AddrPort)
			for i := range count + 5 {
				from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 168, 1, byte(2 + i%3)}), uint16(1<<16-1-i))
				mapped, ok := n.source(UDP, from, peer)
				if ok != (i < count) {
					t.Fatalf("%s: port number %d is given: %v", ports, i, ok)
				}
				if _, twice := given[mapped]; ok && (twice || mapped.Port() < n.first) {
					t.Fatalf("%s: %s is given out again", ports, mapped)
				}

				if ok {
					given[mapped] = from
				}
			}

			for mapped, from := range given {
				if got, ok := n.destination(UDP, mapped.Port(), peer); !ok || got != from {
					t.Fatalf("%s: %s belongs to %s, want %s", ports, mapped, got, from)
				}
			}
		}
	})
}

// An ICMP error finds the socket whose packet it is about, and reveals no addresses that the socket does not know.
func TestTranslatorTakesErrorsIn(t *testing.T) {
	t.Parallel()
	n := newTranslator(RestrictedCone.Behaviour, outside, 0)
	sent, _ := n.outward(packetOf(UDP, inside, peer, "to a closed port"))
	other := packetOf(UDP, netip.AddrPortFrom(outside, 9), peer, "never sent")
	strangers := packetOf(UDP, netip.AddrPortFrom(outside.Next(), inside.Port()), peer, "sent by another router")
	message := func(kind byte, about []byte) []byte {
		p := packetOf(UDP, peer, netip.AddrPortFrom(outside, 0), string(make([]byte, len(about))))
		p[9] = ICMP
		binary.BigEndian.PutUint16(p[10:], 0)
		binary.BigEndian.PutUint16(p[10:], ^sum(p[:20]))
		copy(p[20:], []byte{kind, 3, 0, 0, 0, 0, 0, 0})
		copy(p[28:], about)
		sumICMP(p[20:])

		return p
	}

	in := n.inward(message(3, sent[:28]))
	if in == nil {
		t.Fatal("the error is dropped")
	}
	h, _ := parse(in)
	about, ok := parse(in[28:])
	if h.dst.Addr() != inside.Addr() || !ok || about.src != inside || about.dst != peer || sum(in[:20]) != 0xffff ||
		sum(in[20:]) != 0xffff || sum(in[28:48]) != 0xffff {
		t.Errorf("to %s, about %s to %s: %x", h.dst, about.src, about.dst, in)
	}

	for name, p := range map[string][]byte{"unknown": message(3, other[:28]), "stranger's": message(3, strangers[:28]),
		"echo request": message(8, sent[:28]), "cut short": message(3, sent[:20])} {
		if n.inward(p) != nil {
			t.Errorf("%s: let in", name)
		}
	}
}

// What cannot be translated is dropped, so that no private address leaves.
func TestTranslatorDropsTheRest(t *testing.T) {
	t.Parallel()
	fragment, ping := packetOf(UDP, inside, peer, "first of two"), packetOf(UDP, inside, peer, "")
	fragment[6] = 0x20
	ping[9] = ICMP
	for name, p := range map[string][]byte{"fragment": fragment, "ICMP": ping,
		"cut short": packetOf(UDP, inside, peer, "")[:27], "empty": {}} {
		n := newTranslator(FullCone.Behaviour, outside, 0)
		if out, back := n.outward(p); out != nil || back != nil {
			t.Errorf("%s: %x, %x", name, out, back)
		}
	}
}

// No packet is too strange for the translators: if it was right before they changed it, it is right afterwards, and no
// address of the inside leaves.
func FuzzTranslators(f *testing.F) {
	f.Add(packetOf(UDP, inside, peer, "text"), true)
	f.Add(packetOf(TCP, inside, peer, "odd"), true)
	f.Add(packetOf(UDP, peer, netip.AddrPortFrom(outside, 5000), "in"), false)
	f.Add([]byte{0x45}, false)
	long := packetOf(UDP, peer, netip.AddrPortFrom(outside, inside.Port()), "in")
	long[2] = 0x7f // longer than it is
	f.Add(long, false)
	six, prefix := make([]byte, 56), synthesize(peer.Addr()).As16()
	six[0], six[5], six[6] = 0x60, 16, UDP
	copy(six[24:], prefix[:])
	f.Add(six, true)
	every := Behaviour{Mapping: EndpointIndependent, Filtering: EndpointIndependent, Ports: Preserved, Hairpin: true}

	f.Fuzz(func(t *testing.T, p []byte, out bool) {
		h, ok := parse(p)
		sound := ok && (h.protocol == UDP || h.protocol == TCP && len(p) >= h.payload+20) && covered(p) == 0xffff
		if sound && h.version == 4 {
			sound = h.payload == 20 && sum(p[:20]) == 0xffff && int(binary.BigEndian.Uint16(p[2:])) == len(p)
		}

		sound = sound && (h.protocol != UDP || binary.BigEndian.Uint16(p[h.payload+6:]) != 0)
		for _, n := range []translation{newTranslator(every, outside, 0), newNAT64(every, outside, 0)} {
			open(n)
			var results [][]byte
			if out {
				there, back := n.outward(append([]byte(nil), p...))
				results = [][]byte{there, back}
				if h, ok := parse(there); ok && h.version == 4 && h.src.Addr() != outside {
					t.Errorf("%s left", h.src)
				}
			} else {
				results = [][]byte{n.inward(append([]byte(nil), p...))}
			}

			for _, r := range results {
				if r != nil && sound {
					right(t, r)
				}
			}
		}
	})
}

// open makes mappings, so that something gets in.
func open(n translation) {
	for _, protocol := range []uint8{UDP, TCP} {
		switch n := n.(type) {
		case *translator:
			n.source(protocol, inside, peer)
		case *nat64:
			n.source(protocol, netip.AddrPortFrom(netip.MustParseAddr("2001:db8:1::2"), inside.Port()), peer)
		}
	}
}
