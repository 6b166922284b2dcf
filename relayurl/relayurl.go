// Package relayurl reads the addresses of a relay, and gives its URL its one spelling.
//
// The two ends of a pair and their relay sign and seal this URL, so all three must spell it alike (doc/protocol.md,
// sections 3.1 and 5.2). The spelling is that of a browser's URL.origin: scheme, lower-case host, and the port unless
// it is the scheme's own; no path.
//
// The package promises that a URL it returns leads over TLS or stays on this machine, and says nothing but scheme,
// host and port. It imports no other package of this module.
//
// It is not part of the SDK (doc/sdk.md): its API may change at any time.
package relayurl

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// What is wrong with a relay URL.
var (
	// ErrForm is returned for text that is not a relay URL, or that the two ends could not spell alike.
	ErrForm = errors.New("want https://HOST or https://HOST:PORT")
	// ErrPlain is returned for a relay on another machine that is not reached over TLS.
	ErrPlain = errors.New("want https:// (http:// only for a relay on this machine)")
	// ErrPort is returned for a port that does not exist.
	ErrPort = errors.New("want a port from 1 to 65535")
)

// Normalize returns the one spelling of a relay URL. Errors: ErrForm, ErrPlain, ErrPort.
func Normalize(text string) (string, error) {
	u, err := url.Parse(strings.TrimSuffix(text, "/"))
	if err != nil || u.Opaque != "" || u.Path != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return "", ErrForm
	}

	host, loopback := normalHost(u.Hostname())
	switch {
	case host == "" || u.Scheme != "https" && u.Scheme != "http":
		return "", ErrForm
	case u.Scheme == "http" && !loopback:
		return "", ErrPlain
	}

	port, err := strconv.ParseUint(u.Port(), 10, 16)
	switch {
	case u.Port() == "" || u.Scheme == "https" && port == 443 || u.Scheme == "http" && port == 80:
		return u.Scheme + "://" + host, nil
	case err != nil || port == 0:
		return "", ErrPort
	}
	return fmt.Sprintf("%s://%s:%d", u.Scheme, host, port), nil
}

// Check returns nil for a relay URL in its one spelling. Errors: those of Normalize, and one that names the spelling.
func Check(text string) error {
	normal, err := Normalize(text)
	if err != nil {
		return err
	}
	if normal != text {
		return fmt.Errorf("want it spelled %s", normal)
	}
	return nil
}

// Loopback reports whether a relay URL leads to this machine.
func Loopback(text string) bool {
	u, err := url.Parse(text)
	if err != nil {
		return false
	}
	host, loopback := normalHost(u.Hostname())
	return host != "" && loopback
}

// normalHost returns the one spelling of an address or of an ASCII host name, "" if there is none. A name that browsers
// take for an address, such as 127.1, has none.
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
