package relay

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

var errForwarded = errors.New("malformed header of forwarding proxies")

// nodeAddress reads a node as spelled by RFC 7239, section 6, without quotes, or by X-Forwarded-For, where an IPv6
// address need not have brackets. It returns the zero address for a node that its proxy does not reveal.
func nodeAddress(node string) (netip.Addr, error) {
	if node == "unknown" || isObfuscated(node) {
		return netip.Addr{}, nil
	}
	if a, err := netip.ParseAddr(node); err == nil {
		return forwardedAddress(a)
	}

	host, bracketed := node, strings.HasPrefix(node, "[")
	if !bracketed || !strings.HasSuffix(node, "]") {
		var port string
		var err error
		if host, port, err = net.SplitHostPort(node); err != nil || !isNodePort(port) {
			return netip.Addr{}, fmt.Errorf("node %q: %w", node, errForwarded)
		}
	} else {
		host = node[1 : len(node)-1]
	}

	a, err := netip.ParseAddr(host)
	if err != nil || a.Is4() == bracketed {
		return netip.Addr{}, fmt.Errorf("node %q: %w", node, errForwarded)
	}
	return forwardedAddress(a)
}

func forwardedAddress(a netip.Addr) (netip.Addr, error) {
	if !isClient(a) {
		return netip.Addr{}, fmt.Errorf("node %q: %w", a, errForwarded)
	}
	return a.Unmap(), nil
}

// isObfuscated reports whether s is an identifier that a proxy made up (RFC 7239, section 6.3).
func isObfuscated(s string) bool {
	const chars = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"
	return len(s) > 1 && s[0] == '_' && strings.Trim(s, chars) == ""
}

func isNodePort(s string) bool {
	_, err := strconv.ParseUint(s, 10, 16)
	return err == nil || isObfuscated(s)
}

// xForwardedFor splits a line of the X-Forwarded-For header. The client wrote whatever precedes the proxies' own
// additions, so it may be anything.
func xForwardedFor(line string) ([]string, error) {
	var nodes []string
	for element := range strings.SplitSeq(line, ",") {
		if element = strings.Trim(element, " \t"); element != "" { // RFC 9110, section 5.6.1.2
			nodes = append(nodes, element)
		}
	}
	return nodes, nil
}

// forwarded splits a line of RFC 7239's header. The whole line must be well-formed, because a quote that a client left
// open would swallow what a proxy added.
func forwarded(line string) ([]string, error) {
	var nodes []string
	for p := (parser{line}); ; {
		p.space()
		if p.done() {
			return nodes, nil
		}
		if p.skip(',') {
			continue
		}

		n, err := p.element()
		if err != nil {
			return nil, err
		}
		nodes = append(nodes, n)
		p.space()
		if !p.done() && !p.skip(',') {
			return nil, fmt.Errorf("read element: %w", errForwarded)
		}
	}
}

// parser reads a header from left to right.
type parser struct{ left string }

func (p *parser) done() bool { return p.left == "" }

func (p *parser) space() { p.left = strings.TrimLeft(p.left, " \t") }

func (p *parser) skip(c byte) bool {
	if p.done() || p.left[0] != c {
		return false
	}
	p.left = p.left[1:]
	return true
}

// element reads pairs of a name and a value, and returns the value of "for", or "unknown" if there is none.
func (p *parser) element() (string, error) {
	var found []string
	for {
		name, err := p.token()
		if err != nil || !p.skip('=') {
			return "", fmt.Errorf("read parameter: %w", errForwarded)
		}
		value, err := p.value()
		if err != nil {
			return "", err
		}

		if strings.EqualFold(name, "for") {
			found = append(found, value)
		}
		if !p.skip(';') {
			break
		}
	}

	switch len(found) {
	case 0:
		return "unknown", nil
	case 1:
		return found[0], nil
	}

	return "", fmt.Errorf("parameter for twice: %w", errForwarded)
}

// tokenChars are the characters of a token (RFC 9110, section 5.6.2).
const tokenChars = "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

func (p *parser) token() (string, error) {
	rest := strings.TrimLeft(p.left, tokenChars)
	token := p.left[:len(p.left)-len(rest)]
	if p.left = rest; token == "" {
		return "", fmt.Errorf("read token: %w", errForwarded)
	}
	return token, nil
}

// value reads a token or a quoted string (RFC 9110, section 5.6.4).
func (p *parser) value() (string, error) {
	if !p.skip('"') {
		return p.token()
	}
	var value strings.Builder
	for !p.done() {
		c := p.left[0]
		p.left = p.left[1:]
		switch {
		case c == '"':
			return value.String(), nil
		case c == '\\' && !p.done():
			c = p.left[0]
			p.left = p.left[1:]
		}

		if c < ' ' && c != '\t' || c == 0x7f {
			return "", fmt.Errorf("read quoted string: %w", errForwarded)
		}
		value.WriteByte(c)
	}

	return "", fmt.Errorf("quoted string without an end: %w", errForwarded)
}
