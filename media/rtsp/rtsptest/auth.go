package rtsptest

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"
)

// Auth describes how a camera asks for a password.
type Auth struct {
	User, Password string
	Algorithm      string // "Basic", or one of Digest; "" for MD5 without naming it
	QOP            string
	Stale          int  // change the nonce after so many accepted requests
	Shy            bool // do not say that a nonce is stale
}

// authState is the state of authentication on a connection.
type authState struct {
	nonce    int
	accepted int
}

var authField = regexp.MustCompile(`([a-z]+)=(?:"((?:[^"\\]|\\.)*)"|([^, ]*))`)

// check returns a challenge; "" if the request may pass.
func (s *authState) check(a *Auth, e *Exchange) string {
	if a == nil {
		return ""
	}
	got := e.Header.Get("Authorization")
	if a.Algorithm == "Basic" {
		if got == "Basic "+base64.StdEncoding.EncodeToString([]byte(a.User+":"+a.Password)) {
			return ""
		}
		return `Basic realm="camera"`
	}

	const realm = `the \"camera\", here`
	fields := map[string]string{}
	for _, m := range authField.FindAllStringSubmatch(got, -1) {
		fields[m[1]] = m[2] + m[3]
	}

	stale := ""
	right := fields["response"] == a.response(e, fields, strings.ReplaceAll(realm, `\`, ""))
	if right && fields["nonce"] == fmt.Sprint("nonce", s.nonce) && fields["uri"] == e.URL {
		if s.accepted++; a.Stale == 0 || s.accepted%a.Stale != 0 {
			return ""
		}
		s.nonce++
		if !a.Shy {
			stale = ", stale=TRUE"
		}
	}

	challenge := fmt.Sprintf(`Digest realm="%s", nonce="nonce%d", opaque="o,p"%s`, realm, s.nonce, stale)
	if a.Algorithm != "" {
		challenge += ", algorithm=" + a.Algorithm
	}
	if a.QOP != "" {
		challenge += fmt.Sprintf(`, qop="%s"`, a.QOP)
	}

	return challenge
}

// response computes the response of RFC 7616 from the client's parameters.
func (a *Auth) response(e *Exchange, fields map[string]string, realm string) string {
	h := func(s string) string {
		if strings.HasPrefix(strings.ToUpper(a.Algorithm), "SHA-256") {
			sum := sha256.Sum256([]byte(s))
			return hex.EncodeToString(sum[:])
		}
		sum := md5.Sum([]byte(s))
		return hex.EncodeToString(sum[:])
	}

	secret := h(a.User + ":" + realm + ":" + a.Password)
	if strings.HasSuffix(a.Algorithm, "-sess") {
		secret = h(secret + ":" + fields["nonce"] + ":" + fields["cnonce"])
	}
	action := h(e.Method + ":" + e.URL)
	if fields["qop"] == "auth-int" {
		action = h(e.Method + ":" + e.URL + ":" + h(""))
	}

	if a.QOP == "" {
		return h(secret + ":" + fields["nonce"] + ":" + action)
	}
	return h(strings.Join([]string{secret, fields["nonce"], fields["nc"], fields["cnonce"], fields["qop"], action},
		":"))
}
