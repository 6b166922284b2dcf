package session

import (
	"net"
	"net/url"
	"strconv"
	"strings"
)

// usableServers are the ICE server URLs (RFC 7064, RFC 7065) among those that a relay or the other end named. The others are left out
// before pion sees them: pion/stun v4.0.1 looks for the port of turn:[::1]x for ever, deeper and in more memory with each step.
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
