package pairing

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// ErrRelayURL is returned for a relay URL that both ends could not spell alike, or that would not be encrypted.
var ErrRelayURL = errors.New("want https://HOST or https://HOST:PORT (http:// only for a relay on this machine)")

// NormalizeRelayURL checks a relay URL and returns its one spelling, that of a browser's URL.origin: scheme, lower-case host,
// and the port unless it is the scheme's own; no path. http is for this machine alone.
func NormalizeRelayURL(text string) (string, error) {
	u, err := url.Parse(strings.TrimSuffix(text, "/"))
	if err != nil || u.Opaque != "" || u.Path != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return "", fmt.Errorf("read relay URL: %w", ErrRelayURL)
	}
	host, loopback := normalHost(u.Hostname())
	if host == "" || u.Scheme != "https" && (u.Scheme != "http" || !loopback) {
		return "", fmt.Errorf("read relay URL: %w", ErrRelayURL)
	}
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	switch {
	case u.Port() == "" || u.Scheme == "https" && port == 443 || u.Scheme == "http" && port == 80:
		return u.Scheme + "://" + host, nil
	case err != nil || port == 0:
		return "", fmt.Errorf("read relay URL: port: %w", ErrRelayURL)
	}
	return fmt.Sprintf("%s://%s:%d", u.Scheme, host, port), nil
}

// normalHost is the one spelling of an address or of an ASCII host name, or "". Names that browsers take for addresses, such
// as 127.1, are none.
func normalHost(host string) (normal string, loopback bool) {
	if ip, err := netip.ParseAddr(host); err == nil {
		switch {
		case ip.Zone() != "" || ip.Is4In6():
			return "", false
		case ip.Is6():
			return "[" + ip.String() + "]", ip.IsLoopback()
		}
		return ip.String(), ip.IsLoopback()
	}
	host = strings.ToLower(host)
	labels := strings.Split(host, ".")
	for _, l := range labels {
		if l == "" || strings.Trim(l, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return "", false
		}
	}
	if last := labels[len(labels)-1]; last[0] >= '0' && last[0] <= '9' {
		return "", false
	}
	return host, host == "localhost"
}
