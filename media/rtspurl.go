package media

import (
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// parseURL reads a camera's URL as people type it. Characters of a password need not be encoded unless they are
// ambiguous. It refuses a URL that can be read in two ways: a wrong guess would send part of the password to a
// stranger's host. Errors name the ambiguous character and nothing else of the URL.
func parseURL(kind inputKind, name string) (input, error) {
	name = strings.TrimSpace(name)
	if strings.ContainsFunc(name, func(r rune) bool { return r != utf8.RuneError && !unicode.IsPrint(r) }) {
		return input{}, hint("the URL contains a line break or another invisible character: type it again")
	}
	scheme, rest, _ := strings.Cut(name, "://")
	found, err := readAuthority(rest)
	if err != nil {
		return input{}, err
	}
	if strings.Contains(found.path, "#") {
		return input{}, hint("the URL has a # after its host: write %23 instead, " +
			"and put comments on a line of their own")
	}

	whole := strings.ToLower(scheme) + "://"
	if found.login != "" {
		whole += encodeLogin(found.login) + "@"
	}
	whole += encodeZone(found.host) + encodePath(found.path)
	if u, err := url.Parse(whole); err != nil || u.Hostname() == "" {
		return input{}, fmt.Errorf("parse input: %w", ErrInput) // a safeguard: whole is well-formed
	}
	return input{kind: kind, url: whole, doubtful: escaped.MatchString(found.login)}, nil
}

// hint returns an error that tells a person what to do. It wraps [ErrInput] without repeating its text.
func hint(text string) error { return explained{"parse input: " + text, ErrInput} }

// authority is one reading of what follows a URL's scheme.
type authority struct {
	login string // without the @; empty if there is none
	host  string // with the port
	path  string // with the query
}

// readAuthority finds the end of the password. By RFC 3986 the first / or ? ends the authority, but a password may
// contain both, and a password with a / cannot be told from a path with an @ unless only one of the readings has a
// valid host.
func readAuthority(rest string) (authority, error) {
	end := endOfHost(rest)
	at := strings.LastIndexByte(rest[:end], '@')
	standard := authority{login: rest[:max(at, 0)], host: rest[at+1 : end], path: rest[end:]}
	why := checkHost(standard.host)

	var others []authority
	for i := end; i < len(rest) && strings.Contains(rest[:end], ":"); i++ {
		if rest[i] != '@' {
			continue
		}
		stop := i + 1 + endOfHost(rest[i+1:])
		if host := rest[i+1 : stop]; checkHost(host) == "" {
			others = append(others, authority{login: rest[:i], host: host, path: rest[stop:]})
		}
	}

	switch {
	case why == "" && (len(others) == 0 || isAddress(standard.host)):
		return standard, nil
	case why != "" && len(others) == 1:
		return others[0], nil
	case len(others) > 0:
		delimiter := rest[end : end+1]
		return authority{}, hint(fmt.Sprintf("it is not clear where the password ends: "+
			"if it contains a %s, write %s instead; if not, write %%40 for the @ in the path",
			delimiter, encodeExcept(delimiter, "")))
	}

	return authority{}, hint(why)
}

// endOfHost returns the index of the first / or ?. A # does not count: the URLs of cameras have no fragments.
func endOfHost(s string) int {
	if i := strings.IndexAny(s, "/?"); i >= 0 {
		return i
	}
	return len(s)
}

var (
	// bracketed matches an IPv6 address with a zone as people type it, or with its % written as %25 (RFC 6874).
	bracketed = regexp.MustCompile(`^\[([0-9A-Fa-f:.]+)(?:%(?:25)?([0-9A-Za-z._~-]+))?\](?::([0-9]*))?$`)
	hostRune  = regexp.MustCompile(`^[\pL\pM\pN._-]$`)
	escaped   = regexp.MustCompile(`%[0-9A-Fa-f]{2}`)
)

// checkHost returns what is wrong with a host and its port; "" if nothing is.
func checkHost(host string) string {
	if m := bracketed.FindStringSubmatch(host); m != nil {
		if a, err := netip.ParseAddr(m[1]); err != nil || !a.Is6() {
			return "there is no IPv6 address between [ and ]"
		}
		return checkPort(m[3])
	}

	if a, err := netip.ParseAddr(host); err == nil && a.Is6() {
		return "an IPv6 address needs brackets: rtsp://[ADDRESS]/…"
	}

	name, port, _ := strings.Cut(host, ":")
	if name == "" {
		return "the URL names no host: want rtsp://USER:PASSWORD@HOST/…"
	}

	for _, c := range name { // what is not UTF-8 is U+FFFD, which is no letter
		if !hostRune.MatchString(string(c)) {
			return fmt.Sprintf("there is a %q where the host should be: "+
				"if it belongs to the password, an @ is missing between password and host", c)
		}
	}

	return checkPort(port)
}

func checkPort(port string) string {
	if n, err := strconv.ParseUint(port, 10, 16); port != "" && (err != nil || n == 0) {
		return "the port after the : is not a number from 1 to 65535; " +
			"if it is a password, the @ and the host are missing"
	}
	return ""
}

// isAddress reports whether a host is an IP address, which cannot be mistaken for a user name.
func isAddress(host string) bool {
	name, _, _ := strings.Cut(host, ":")
	_, err := netip.ParseAddr(name)
	return err == nil || strings.HasPrefix(host, "[")
}

// encodeZone percent-encodes the % before an IPv6 zone (RFC 6874).
func encodeZone(host string) string {
	m := bracketed.FindStringSubmatch(host)
	if m == nil || m[2] == "" {
		return host
	}
	return "[" + m[1] + "%25" + m[2] + host[strings.IndexByte(host, ']'):]
}

// encodeLogin percent-encodes the characters that a user name and a password must not contain (RFC 3986, section
// 3.2.1). It leaves what is encoded already.
func encodeLogin(login string) string { return encodeExcept(login, "-._~!$&()*+,;=:") }

// encodePath does the same for path and query.
func encodePath(path string) string { return encodeExcept(path, "-._~!$&()*+,;=:@/?[]") }

func encodeExcept(s, keep string) string {
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		done := c == '%' && i+2 < len(s) && escaped.MatchString(s[i:i+3])
		if done || c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' ||
			strings.IndexByte(keep, c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}

	return b.String()
}
