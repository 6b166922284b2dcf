package session

import (
	"context"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"time"

	"github.com/peephole-cam/peephole/internal/nat"
)

// network is what an end tells the other of its own network, in a record: no address.
type network struct {
	Mapping nat.Mapping `json:"mapping"`
	UDP     string      `json:"udp"`
	Relay   string      `json:"relay,omitempty"` // its way to the relay: the one in use, else the best
	Punch   bool        `json:"punch,omitempty"` // it can guess ports
}

// plausible is n without what this version does not know.
func (n network) plausible() network {
	if !n.Mapping.Known() {
		n.Mapping = nat.UnknownMapping
	}
	if n.UDP != udpOpen && n.UDP != udpBlocked {
		n.UDP = udpUnknown
	}
	if n.Relay != "udp" && n.Relay != "tcp" && n.Relay != "tls" {
		n.Relay = ""
	}
	return n
}

// probeWait is how long a relay's STUN server may take to be found and to answer.
const probeWait = 5 * time.Second

// probe asks the relay from one socket, at two ports, how the NAT in front of this machine maps it. answered: UDP gets out, and back.
func probe(ctx context.Context, urls []string) (mapping nat.Mapping, answered bool) {
	ctx, cancel := context.WithTimeout(ctx, probeWait)
	defer cancel()
	servers := stunServers(ctx, urls)
	if len(servers) == 0 {
		return nat.UnknownMapping, false
	}
	s, err := nat.Listen("udp4")
	if err != nil {
		return nat.UnknownMapping, false
	}
	defer s.Close()
	mapping, answers := s.Mapping(ctx, nat.Here(), servers)
	return mapping, len(answers) > 0
}

// maxServers bounds what a grant can have this machine ask.
const maxServers = 4

// stunServers are the IPv4 addresses of the servers that answer Binding requests over UDP.
func stunServers(ctx context.Context, urls []string) (servers []netip.AddrPort) {
	for _, text := range urls {
		u, err := url.Parse(text)
		if err != nil || u.Scheme != "stun" && u.Scheme != "turn" || u.Query().Get("transport") == "tcp" {
			continue
		}
		host, port, err := net.SplitHostPort(u.Opaque)
		if err != nil {
			continue
		}
		number, err := strconv.ParseUint(port, 10, 16)
		addresses, err2 := net.DefaultResolver.LookupNetIP(ctx, "ip4", host)
		if err != nil || err2 != nil || len(addresses) == 0 || len(servers) == maxServers {
			continue
		}
		servers = append(servers, netip.AddrPortFrom(addresses[0].Unmap(), uint16(number)))
	}
	return servers
}
