package session

import (
	"context"
	"log/slog"
	"net/netip"

	"github.com/pion/webrtc/v4"
)

// PortMapper has the household's router let the world in to a UDP port of this host, until ctx ends: *portmap.Mapper does. found is
// called from the goroutine that called Map, with the address that leads to the port, and again when it has changed.
type PortMapper interface {
	Map(ctx context.Context, inside netip.AddrPort, found func(outside netip.AddrPort)) error
}

// mappedPriority is a server reflexive candidate's (RFC 8445, section 5.1.2.1), just below those that a server has seen.
const mappedPriority = 100<<24 | 65534<<8 | 255

// openPort has the port of a host candidate opened, if a router could be in front of it, and calls found with the candidate
// that this makes. It blocks until ctx ends, or nobody opens the port.
func openPort(ctx context.Context, m PortMapper, host webrtc.ICECandidate, log *slog.Logger, found func(*webrtc.ICECandidate)) {
	ip, err := netip.ParseAddr(host.Address)
	if err != nil {
		return
	}
	err = m.Map(ctx, netip.AddrPortFrom(ip, host.Port), func(outside netip.AddrPort) { found(mapped(host, outside)) })
	if err != nil {
		log.Debug("open port", "err", err)
	}
}

// opens says whether a candidate of this end's is one whose port a router could open. (With a relay on this machine nobody is elsewhere,
// and no router is asked.)
func opens(c *webrtc.ICECandidate) bool {
	if c == nil || c.Typ != webrtc.ICECandidateTypeHost || c.Protocol != webrtc.ICEProtocolUDP {
		return false
	}
	ip, err := netip.ParseAddr(c.Address)
	return err == nil && ip.Is4() && !public(ip)
}

// mapped is the candidate of an opened port. It needs no counterpart in this end's agent: what arrives there arrives at the host
// candidate, and answers leave from it. As its related address stands one that says nothing (RFC 8839, section 5.1).
func mapped(host webrtc.ICECandidate, outside netip.AddrPort) *webrtc.ICECandidate {
	c := host
	c.Typ, c.Foundation, c.Priority = webrtc.ICECandidateTypeSrflx, "mapped"+host.Foundation, mappedPriority
	c.Address, c.Port = outside.Addr().String(), outside.Port()
	c.RelatedAddress, c.RelatedPort = "0.0.0.0", 9
	return &c
}
