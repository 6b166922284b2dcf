package turnclient

import (
	"context"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// usableServers returns the valid ICE server URLs (RFC 7064, RFC 7065) among those that a relay or the other end named.
// pion must not see the others: pion/stun v4.0.1 looks for the port of turn:[::1]x for ever, and allocates more memory
// at each step.
func usableServers(urls []string) (usable []string) {
	for _, u := range urls {
		if usableServer(u) {
			usable = append(usable, u)
		}
	}
	return usable
}

func usableServer(text string) bool {
	scheme, rest, _ := strings.Cut(text, ":")
	address, query, _ := strings.Cut(rest, "?")
	switch {
	case scheme != "turn" && scheme != "turns" && (scheme != "stun" || query != ""):
		return false
	case query != "" && query != "transport=udp" && query != "transport=tcp":
		return false
	}

	host, port, err := net.SplitHostPort(address)
	if err != nil {
		host, port, err = net.SplitHostPort(address + ":3478")
	}
	number, notNumber := strconv.ParseUint(port, 10, 16)
	if err != nil || host == "" || notNumber != nil || number == 0 {
		return false
	}

	const name = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._"
	if net.ParseIP(host) == nil && strings.Trim(host, name) != "" {
		return false
	}
	u, err := url.Parse(text)
	return err == nil && u.Opaque == address
}

// maxServers bounds how many servers this machine can be made to ask.
const maxServers = 4

// STUNServers returns the IPv4 addresses of the servers that answer Binding requests over UDP.
func STUNServers(ctx context.Context, urls []string) (servers []netip.AddrPort) {
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
