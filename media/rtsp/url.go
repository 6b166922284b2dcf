package rtsp

import (
	"fmt"
	"net"
	"net/url"
	"strings"
)

// target is the address of a stream: a URL that can be sent and shown, and apart from it the credentials.
type target struct {
	url            string // without credentials and fragment
	address        string // host:port
	host           string // without brackets and zone
	secure         bool   // rtsps
	user, password string
	has            bool // there are credentials
}

// parseTarget reads a URL. Its error wraps ErrURL and reveals nothing of the URL.
func parseTarget(raw string) (target, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Hostname() == "" || u.Opaque != "" || strings.ContainsFunc(raw, isControl) {
		return target{}, fmt.Errorf("parse URL: %w", ErrURL)
	}
	scheme := strings.ToLower(u.Scheme)
	if scheme != "rtsp" && scheme != "rtsps" {
		return target{}, fmt.Errorf("parse URL: %w", ErrURL)
	}

	t := target{secure: scheme == "rtsps", has: u.User != nil}
	if t.has {
		t.user = u.User.Username()
		t.password, _ = u.User.Password()
	}

	port := u.Port()
	if port == "" {
		port = map[bool]string{false: "554", true: "322"}[t.secure]
	}
	t.address = net.JoinHostPort(u.Hostname(), port)
	t.host, _, _ = strings.Cut(u.Hostname(), "%")

	u.Scheme, u.User, u.Fragment, u.RawFragment = scheme, nil, "", ""
	if host, zone, ok := strings.Cut(u.Host, "%"); ok { // a zone means nothing to the server (RFC 6874, section 4)
		_, after, _ := strings.Cut(zone, "]")
		u.Host = host + "]" + after
	}

	t.url = escapeControl(u.String()) // a query comes back as it was written
	return t, nil
}

func isControl(r rune) bool { return r <= ' ' || r == 0x7f }

// redirect returns the target of a Location header. It keeps the credentials only for the same host and port, and never
// for a less secure connection.
func (t target) redirect(location string) (target, error) {
	to, err := parseTarget(resolve(t.url, location))
	if err != nil {
		return target{}, fmt.Errorf("follow redirection: %w", ErrRedirects)
	}
	to.user, to.password, to.has = "", "", false
	if strings.EqualFold(to.address, t.address) && (to.secure || !t.secure) {
		to.user, to.password, to.has = t.user, t.password, t.has
	}

	return to, nil
}

// resolve resolves a reference as RFC 3986 does. It returns a reference that cannot be resolved as it is.
func resolve(base, reference string) string {
	b, err := url.Parse(base)
	if err != nil {
		return escapeControl(reference)
	}
	r, err := b.Parse(reference)
	if err != nil {
		return escapeControl(reference)
	}
	return r.String()
}

// controlURL returns the URL of an a=control attribute as cameras mean it: a relative one is appended to the base, even
// where RFC 3986 would replace the last segment of the base.
func controlURL(base, control string) string {
	control = escapeControl(control)
	switch {
	case control == "" || control == "*":
		return base
	case isAbsolute(control):
		return withoutCredentials(control)
	case strings.HasSuffix(base, "/"):
		return base + strings.TrimPrefix(control, "/")
	case control[0] == '/' || control[0] == '?':
		return base + control
	}

	return base + "/" + control
}

// escapeControl percent-encodes the characters that would end a request line or a part of it.
func escapeControl(control string) string {
	var b strings.Builder
	for _, c := range []byte(control) {
		if c <= ' ' || c >= 0x7f {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}

	return b.String()
}

func isAbsolute(control string) bool {
	scheme, _, ok := strings.Cut(control, "://")
	return ok && (strings.EqualFold(scheme, "rtsp") || strings.EqualFold(scheme, "rtsps"))
}

// withoutCredentials removes credentials from a URL that a server has sent. It returns a URL that cannot be read as it
// is.
func withoutCredentials(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.User == nil {
		return raw
	}
	u.User = nil
	return u.String()
}
