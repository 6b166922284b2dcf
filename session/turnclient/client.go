package turnclient

import (
	"context"
	"crypto/tls"
	"slices"
	"strings"

	"github.com/pion/transport/v5"

	"github.com/peephole-cam/peephole/nat/punch"
)

// Config is what a client needs to know about a session.
type Config struct {
	URLs       []string // of TURN and STUN servers; may be empty
	Username   string
	Credential string
	Trust      *tls.Config    // verifies TURN servers over TLS; nil means the system's roots
	Sockets    *punch.Sockets // makes the agent's sockets, so that ports can be guessed; may be nil
	FindNAT64  bool           // find out how an IPv6-only network reaches IPv4
	Network    transport.Net  // nil means the machine's
}

// Client gives a session's ICE agent the sockets and connections with which it reaches the relay and the world.
type Client struct {
	cfg          Config
	net          transport.Net
	streamDialer *Dialer
	nat64        nat64
}

// New prepares a client. When ctx ends, it stops connecting to TURN servers.
func New(ctx context.Context, cfg Config) (*Client, error) {
	c := &Client{cfg: cfg, net: cfg.Network}
	var udp *headStart
	if c.net == nil {
		if cfg.FindNAT64 {
			c.nat64 = findNAT64(ctx)
		}
		udp = newHeadStart(cfg.URLs)
		agent, err := newAgentNet(credentials{cfg.Username, cfg.Credential}, udp, cfg.Sockets, c.nat64)
		if err != nil {
			return nil, err
		}
		c.net = agent
	}

	c.streamDialer = newDialer(ctx, cfg.URLs, cfg.Trust, udp)
	return c, nil
}

// Net returns the network for the agent.
func (c *Client) Net() transport.Net { return c.net }

// Dialer returns the dialer with which the agent's TURN clients connect over TCP and TLS.
func (c *Client) Dialer() *Dialer { return c.streamDialer }

// TURNURLs returns the TURN servers that can be used.
func (c *Client) TURNURLs() []string { return turnServers(c.cfg.URLs) }

// turnServers returns the usable TURN servers among the URLs. A STUN server beside them serves only to find out about
// the NAT.
func turnServers(urls []string) []string {
	return slices.DeleteFunc(usableServers(urls), func(u string) bool { return strings.HasPrefix(u, "stun:") })
}

// Relays reports whether there is a TURN server among the URLs, so that media can be relayed.
func Relays(urls []string) bool { return len(turnServers(urls)) > 0 }

// STUNURLs returns the TURN servers over UDP as STUN servers, because pion learns server reflexive candidates only from
// STUN servers. Without TURN servers there are STUN servers alone, those of circuit relays.
func (c *Client) STUNURLs(ctx context.Context) (stun []string) {
	turn := turnServers(c.cfg.URLs)
	if len(turn) == 0 {
		stun = usableServers(c.cfg.URLs)
	}
	for _, u := range turn {
		host, query, _ := strings.Cut(u, "?")
		if rest, ok := strings.CutPrefix(host, "turn:"); ok && query != "transport=tcp" {
			stun = append(stun, "stun:"+rest)
		}
	}
	return append(stun, c.nat64.stun(ctx, stun)...)
}
