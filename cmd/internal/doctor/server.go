package doctor

import (
	"context"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// maxServers bounds how many servers a relay can make this machine contact.
const maxServers = 8

// server is one ICE server of a relay.
type server struct {
	kind string // "stun": a second port, for Binding requests alone; "turn"; "turns"
	tcp  bool
	host string
	port uint16
}

// parseServer parses an ICE server URL. It reports whether text is one.
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

	return server{
		kind: u.Scheme,
		tcp:  u.Scheme == "turns" || u.Query().Get("transport") == "tcp",
		host: host,
		port: uint16(number),
	}, true
}

func parseServers(urls []string) (servers []server) {
	for _, text := range urls {
		if s, ok := parseServer(text); ok && len(servers) < maxServers {
			servers = append(servers, s)
		}
	}
	return servers
}

// usualServers returns the servers that a relay usually has, for one that does not say.
func usualServers(relayURL string) []server {
	u, err := url.Parse(relayURL)
	if err != nil {
		return nil
	}

	host := u.Hostname()
	main := server{kind: "turns", tcp: true, host: host, port: 443} // beside HTTPS
	if u.Scheme == "http" {
		main.kind, main.port = "turn", 80
	}
	if n, err := strconv.ParseUint(u.Port(), 10, 16); err == nil {
		main.port = uint16(n)
	}
	return []server{
		{kind: "turn", host: host, port: 3478},
		{kind: "turn", tcp: true, host: host, port: 3478},
		{kind: "stun", host: host, port: 3479},
		main,
	}
}

// findServer returns the first server of a kind.
func findServer(servers []server, kind string, tcp bool) (server, bool) {
	for _, s := range servers {
		if s.kind == kind && s.tcp == tcp {
			return s, true
		}
	}
	return server{}, false
}

// address returns the server's address of a family, "4" or "6", or the zero AddrPort if it has none.
func (s server) address(ctx context.Context, family string) netip.AddrPort {
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip"+family, strings.Trim(s.host, "[]"))
	if err != nil || len(found) == 0 {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(found[0].Unmap(), s.port)
}
