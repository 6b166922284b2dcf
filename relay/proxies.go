package relay

import (
	"net/http"
	"net/netip"
	"slices"
)

// ProxyHeader is how trusted proxies name the client whose connection or request they pass on. A relay believes only
// one header, because a client could write any other that its proxy does not set.
type ProxyHeader string

// The ways to name a client.
const (
	XForwardedFor ProxyHeader = "x-forwarded-for" // X-Forwarded-For, in each request
	Forwarded     ProxyHeader = "forwarded"       // Forwarded (RFC 7239), in each request
	PROXYProtocol ProxyHeader = "proxy-protocol"  // HAProxy's, at the beginning of each TCP connection
)

// proxies holds the proxies that the operator trusts, and the header that they set.
type proxies struct {
	trusted []netip.Prefix
	header  ProxyHeader
}

// trust reports whether an address belongs to a trusted proxy.
func (p *proxies) trust(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	return slices.ContainsFunc(p.trusted, func(n netip.Prefix) bool { return n.Contains(a) })
}

// introduce reports whether a connection from an address must begin with a PROXY header.
func (p *proxies) introduce(a netip.Addr) bool { return p.header == PROXYProtocol && p.trust(a) }

// client returns the address of the client whose request came from peer. It walks back through the header, from the
// proxy nearest to us, to the first address that is not a trusted proxy's, because an entry is credible only if the
// proxy that wrote it is trusted. It ignores whatever strangers wrote before that. If a proxy does not name a client,
// client returns the proxy's own address.
func (p *proxies) client(peer netip.Addr, h http.Header) (netip.Addr, error) {
	name, split := "X-Forwarded-For", xForwardedFor
	switch p.header {
	case PROXYProtocol:
		return peer, nil
	case Forwarded:
		name, split = "Forwarded", forwarded
	}

	client, lines := peer, h.Values(name)
	for i := len(lines) - 1; i >= 0 && p.trust(client); i-- {
		nodes, err := split(lines[i])
		if err != nil {
			return netip.Addr{}, err
		}
		for j := len(nodes) - 1; j >= 0 && p.trust(client); j-- {
			next, err := nodeAddress(nodes[j])
			if err != nil {
				return netip.Addr{}, err
			}
			if !next.IsValid() {
				return client, nil
			}
			client = next
		}
	}

	return client, nil
}
