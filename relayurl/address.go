package relayurl

import (
	"net"
	"strconv"
	"strings"
)

// IsLoopbackHost reports whether a host is always this machine.
func IsLoopbackHost(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// IsUnspecifiedHost reports whether a host to listen on stands for all addresses of this machine, and so names none.
func IsUnspecifiedHost(host string) bool {
	ip := net.ParseIP(host)
	return host == "" || ip != nil && ip.IsUnspecified()
}

// IsTURN reports whether text is a TURN URL (RFC 7065) that names its port and transport.
func IsTURN(text string) bool {
	scheme, rest, _ := strings.Cut(text, ":")
	address, query, _ := strings.Cut(rest, "?")
	host, port, err := net.SplitHostPort(address)
	if err != nil || host == "" {
		return false
	}
	const name = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._"
	if net.ParseIP(host) == nil && (strings.Trim(host, name) != "" || address[0] == '[') {
		return false
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return false
	}

	switch query {
	case "transport=udp":
		return scheme == "turn"
	case "transport=tcp":
		return scheme == "turn" || scheme == "turns"
	}
	return false
}
