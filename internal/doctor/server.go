package doctor

import (
	"context"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// ServersPath is where a relay says, over HTTPS and to everybody, which servers for ICE it has: a JSON object, Servers.
const ServersPath = "/v1/servers"

// Servers are ICE server URLs (RFC 7064, RFC 7065), without the credentials that they want.
type Servers struct {
	URLs []string `json:"urls"`
}

// maxServers bounds what a relay can have this machine ask.
const maxServers = 8

// server is one of a relay's.
type server struct {
	kind string // "stun": a second port, for Binding requests alone; "turn"; "turns"
	tcp  bool
	host string
	port uint16
}

// parseServer reads an ICE server URL; ok is false for what is none.
func parseServer(text string) (s server, ok bool) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "stun" && u.Scheme != "turn" && u.Scheme != "turns" {
		return s, false
	}
	host, port, err := net.SplitHostPort(u.Opaque)
	number, err2 := strconv.ParseUint(port, 10, 16)
	if err != nil || err2 != nil || host == "" || number == 0 {
		return s, false
	}
	return server{kind: u.Scheme, tcp: u.Scheme == "turns" || u.Query().Get("transport") == "tcp", host: host, port: uint16(number)}, true
}

func parseServers(urls []string) (servers []server) {
	for _, text := range urls {
		if s, ok := parseServer(text); ok && len(servers) < maxServers {
			servers = append(servers, s)
		}
	}
	return servers
}

// customary are the servers of a relay that does not say which it has.
func customary(relayURL string) []server {
	u, err := url.Parse(relayURL)
	if err != nil {
		return nil
	}
	host, main := u.Hostname(), server{kind: "turns", tcp: true, host: u.Hostname(), port: 443}
	if u.Scheme == "http" {
		main.kind, main.port = "turn", 80
	}
	if n, err := strconv.ParseUint(u.Port(), 10, 16); err == nil {
		main.port = uint16(n)
	}
	return []server{{kind: "turn", host: host, port: 3478}, {kind: "turn", tcp: true, host: host, port: 3478}, {kind: "stun", host: host, port: 3479}, main}
}

// find is the first server of a kind.
func find(servers []server, kind string, tcp bool) (server, bool) {
	for _, s := range servers {
		if s.kind == kind && s.tcp == tcp {
			return s, true
		}
	}
	return server{}, false
}

// address is where it is by one family, "4" or "6"; the zero AddrPort where it has no such address.
func (s server) address(ctx context.Context, family string) netip.AddrPort {
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip"+family, strings.Trim(s.host, "[]"))
	if err != nil || len(found) == 0 {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(found[0].Unmap(), s.port)
}
