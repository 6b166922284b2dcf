package rtsp

import (
	"crypto/md5"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash"
	"strings"
)

// authenticator answers a server's challenges (RFC 7617 and RFC 7616, and RFC 2069 if the server names no qop). The
// zero value has no credentials and sends none.
type authenticator struct {
	user, password string
	has            bool // there are credentials
	challenge      challenge
	count          int  // requests with the current nonce
	accepted       bool // the server has accepted the credentials before
}

// challenge is one WWW-Authenticate header field.
type challenge struct {
	scheme               string // "digest" or "basic"; "" if there is no challenge
	realm, nonce, opaque string
	algorithm            string // as the server wrote it
	qop                  string // "auth", "auth-int" or ""
	stale, opaqueSet     bool
	newHash              func() hash.Hash
	session              bool // the algorithm ends with -sess
	strength             int
}

// acceptChallenge chooses the strongest challenge of a 401. authorized is true if the request had credentials. It
// returns nil if the request is worth sending again.
func (a *authenticator) acceptChallenge(h header, authorized bool) error {
	if !a.has {
		return ErrNoCredentials
	}
	best := challenge{}
	for _, field := range h["www-authenticate"] {
		if c := parseChallenge(field); c.strength > best.strength {
			best = c
		}
	}

	if best.strength == 0 {
		return ErrScheme
	}

	// A new nonce is no second chance for a wrong password. But some servers do not say that a nonce was stale.
	if authorized && !best.stale && !(a.accepted && best.nonce != a.challenge.nonce) {
		return ErrCredentials
	}
	a.challenge, a.count = best, 0
	return nil
}

// parseChallenge reads one header field. The strength is 0 if the scheme or the algorithm is unknown.
func parseChallenge(field string) (c challenge) {
	scheme, rest, _ := strings.Cut(strings.TrimSpace(field), " ")
	c.scheme = strings.ToLower(scheme)
	parameters := parseParameters(rest)
	c.realm, c.nonce = parameters["realm"], parameters["nonce"]
	c.opaque, c.opaqueSet = parameters["opaque"]
	c.algorithm, c.stale = parameters["algorithm"], strings.EqualFold(parameters["stale"], "true")
	c.qop = chooseQOP(parameters["qop"])

	algorithm, session := strings.CutSuffix(strings.ToUpper(c.algorithm), "-SESS")
	c.session = session
	switch {
	case c.scheme == "basic":
		c.strength = 1
	case c.scheme != "digest":
	case algorithm == "" || algorithm == "MD5":
		c.newHash, c.strength = md5.New, 2
	case algorithm == "SHA-256":
		c.newHash, c.strength = sha256.New, 3
	}

	return c
}

// chooseQOP picks from a server's list. Our requests have no body, so auth-int is no harder than auth.
func chooseQOP(list string) (qop string) {
	for _, q := range strings.Split(list, ",") {
		switch q = strings.ToLower(strings.TrimSpace(q)); q {
		case "auth":
			return q
		case "auth-int":
			qop = q
		}
	}
	return qop
}

// parseParameters reads name=value pairs separated by commas. A value may be quoted (RFC 9110, section 5.6).
func parseParameters(s string) map[string]string {
	parameters := make(map[string]string)
	for s = strings.TrimLeft(s, " ,\t"); s != ""; s = strings.TrimLeft(s, " ,\t") {
		name, rest, ok := strings.Cut(s, "=")
		if !ok {
			break
		}
		var value string
		if rest = strings.TrimLeft(rest, " \t"); strings.HasPrefix(rest, `"`) {
			value, s = unquote(rest[1:])
		} else {
			value, s, _ = strings.Cut(rest, ",")
			value = strings.TrimSpace(value)
		}
		parameters[strings.ToLower(strings.TrimSpace(name))] = value
	}

	return parameters
}

// unquote reads a quoted string whose first quote has been removed, and returns what follows it.
func unquote(s string) (value, rest string) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '"':
			return b.String(), s[i+1:]
		case s[i] == '\\' && i+1 < len(s):
			i++
		}
		b.WriteByte(s[i])
	}

	return b.String(), ""
}

func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// authorization returns the Authorization header line for a request; "" if it needs none.
func (a *authenticator) authorization(r request) string {
	switch a.challenge.scheme {
	case "basic":
		return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(a.user+":"+a.password))
	case "digest":
		a.count++
		return a.digest(r, rand.Text()[:16])
	}
	return ""
}

// digest computes the response of RFC 7616, section 3.4.1.
func (a *authenticator) digest(r request, cnonce string) string {
	c := a.challenge
	h := func(parts ...string) string {
		sum := c.newHash()
		sum.Write([]byte(strings.Join(parts, ":")))
		return hex.EncodeToString(sum.Sum(nil))
	}

	secret := h(a.user, c.realm, a.password)
	if c.session {
		secret = h(secret, c.nonce, cnonce)
	}
	action := h(r.method, r.url)
	if c.qop == "auth-int" {
		action = h(r.method, r.url, h(""))
	}

	count := fmt.Sprintf("%08x", a.count)
	response := h(secret, c.nonce, action)
	if c.qop != "" {
		response = h(secret, c.nonce, count, cnonce, c.qop, action)
	}

	line := fmt.Sprintf(`Authorization: Digest username=%s, realm=%s, nonce=%s, uri=%s, response="%s"`,
		quote(a.user), quote(c.realm), quote(c.nonce), quote(r.url), response)
	if c.algorithm != "" {
		line += ", algorithm=" + c.algorithm
	}

	if c.opaqueSet {
		line += ", opaque=" + quote(c.opaque)
	}
	if c.qop != "" || c.session {
		line += fmt.Sprintf(`, cnonce="%s"`, cnonce)
	}

	if c.qop != "" {
		line += fmt.Sprintf(", qop=%s, nc=%s", c.qop, count)
	}
	return line
}
