package session

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"

	"github.com/pion/webrtc/v4"

	"github.com/peephole-cam/peephole/session/handshake"
	"github.com/peephole-cam/peephole/session/path"
	"github.com/peephole-cam/peephole/session/turnclient"
)

// PortMapper makes the household's router open a UDP port of this host to the world. *portmap.Mapper implements it. Map
// keeps the port open until ctx ends. It calls found, on its caller's goroutine, with the address that leads to the
// port, and again when that address changes.
type PortMapper interface {
	Map(ctx context.Context, inside netip.AddrPort, found func(outside netip.AddrPort)) error
}

// maxSeen bounds the addresses by which circuit relays see this machine that are used for guessing.
const maxSeen = 2

// portMapper returns what finds the addresses that lead to a port from outside. Where there are circuit relays' STUN
// servers alone, which may not answer, addresses are guessed from those by which circuit relays see this machine.
// Without any server the session is one on the LAN, of which nobody else hears. It returns nil if there is nothing to
// try.
func portMapper(m PortMapper, seen []netip.Addr, turn *handshake.TURN) PortMapper {
	if len(seen) == 0 || turn == nil || turnclient.Relays(turn.URLs) {
		return m
	}
	return preservedPorts{
		seen:   seen[:min(len(seen), maxSeen)],
		source: turnclient.SourceTo,
		next:   m,
	}
}

// preservedPorts guesses that a NAT gives a port the same number outside, as most do (RFC 4787, section 4.2.1), and
// asks the router as well. ICE finds out where the guess is wrong.
type preservedPorts struct {
	seen   []netip.Addr
	source func(network, to string) netip.Addr // from which address this machine sends
	next   PortMapper                          // may be nil
}

func (p preservedPorts) Map(ctx context.Context, inside netip.AddrPort, found func(netip.AddrPort)) error {
	for _, a := range p.seen {
		outside := netip.AddrPortFrom(a, inside.Port())
		if a.Is4() && a != inside.Addr() && p.source("udp4", outside.String()) == inside.Addr() {
			found(outside) // no other address of this machine is behind that NAT
		}
	}
	if p.next != nil {
		return p.next.Map(ctx, inside, found)
	}
	<-ctx.Done()
	return context.Cause(ctx)
}

// mappedPriority is the priority of a server reflexive candidate (RFC 8445, section 5.1.2.1), just below that of the
// candidates whose addresses a server has seen.
const mappedPriority = 100<<24 | 65534<<8 | 255

// openPort makes the router open the port of a candidate of this end until ctx ends, on a goroutine of work. It calls
// found with the candidate that this makes. It does nothing if m is nil, or if no router could open that port.
func openPort(ctx context.Context, m PortMapper, c *webrtc.ICECandidate, work *sync.WaitGroup, log *slog.Logger,
	found func(*webrtc.ICECandidate)) {
	if m == nil || !opens(c) {
		return
	}
	host := *c
	ip, err := netip.ParseAddr(host.Address)
	if err != nil {
		return
	}

	work.Go(func() {
		inside := netip.AddrPortFrom(ip, host.Port)
		if err := m.Map(ctx, inside, func(outside netip.AddrPort) { found(mapped(host, outside)) }); err != nil {
			log.Debug("open port", "err", err)
		}
	})
}

// opens reports whether a router could open the port of a candidate of this end.
func opens(c *webrtc.ICECandidate) bool {
	if c == nil || c.Typ != webrtc.ICECandidateTypeHost || c.Protocol != webrtc.ICEProtocolUDP {
		return false
	}
	ip, err := netip.ParseAddr(c.Address)
	return err == nil && ip.Is4() && !path.Public(ip)
}

// mapped returns the candidate of an opened port. It needs no counterpart in this end's agent: what arrives at that
// port reaches the host candidate, and answers leave from there. Its related address says nothing (RFC 8839, section
// 5.1).
func mapped(host webrtc.ICECandidate, outside netip.AddrPort) *webrtc.ICECandidate {
	c := host
	c.Typ, c.Foundation, c.Priority = webrtc.ICECandidateTypeSrflx, "mapped"+host.Foundation, mappedPriority
	c.Address, c.Port = outside.Addr().String(), outside.Port()
	c.RelatedAddress, c.RelatedPort = "0.0.0.0", 9
	return &c
}
