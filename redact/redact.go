// Package redact takes secrets out of text that is logged, printed or shown.
//
// It is the second line of defence; the first is that no package puts a secret into text. What people paste, and what
// other programs complain about, may hold secrets all the same: a camera's URL with its password, a pairing link, a
// relay's credential. Text errs on the side of cutting too much. It must never return part of a secret that it has
// recognized, and it imports no other package of this module.
//
// It is not part of the SDK (doc/sdk.md): its API may change at any time.
package redact

import (
	"regexp"
	"strings"
)

// Mark replaces a secret.
const Mark = "redacted"

// Text returns text without
//
//   - user names and passwords before an @, whatever characters they hold, with or without a scheme in front;
//   - the path, query and fragment of URLs, which may hold tokens;
//   - whatever follows pair#, where a pairing link keeps its secret;
//   - the values of names such as password, token and credential, and of Authorization;
//   - what looks like a secret by itself: 22 or more characters of base64url, or padded base64, unless they are words
//     or the 64 hexadecimal digits of a fingerprint or mailbox.
//
// It sees through percent-encoding, single or repeated. An unquoted value ends at white space. Text without secrets is
// returned unchanged.
func Text(text string) string {
	plain := unescape(text)
	if out := cut(unescape(cut(text))); out != plain {
		return out
	}
	return text
}

func cut(text string) string {
	text = userInfo(text)
	if strings.Contains(text, "://") {
		text = urls.ReplaceAllStringFunc(text, shorten)
	}
	if strings.Contains(text, "#") {
		text = pairing.ReplaceAllString(text, "${1}"+Mark)
	}

	return longRuns(namedValues(text))
}

var (
	urls  = regexp.MustCompile(`(?i)[a-z][a-z0-9+.-]*://[^\s'"<>]*`)
	token = regexp.MustCompile(`^[^\s'"<>]*`)

	// address is a host with its port, or as help texts spell it.
	address = regexp.MustCompile(`^(\[[0-9A-Fa-f:.]+(?:%[0-9A-Za-z._~-]{1,17})?\]|[\pL\pN._…-]+)` +
		`(:[0-9]{1,5}|\[?:PORT\]?)?$`)
	pairing = regexp.MustCompile(`(?i)(pair#)[^\s"'<>]*`)

	// hidden is a login without its password, or as help texts spell it.
	hidden = regexp.MustCompile(`^(([\pL\pN._-]{1,32}:)?…|USER:PASSWORD)$`)
)

const (
	space  = " \t\r\n"
	noHost = space + ",;)" // if one of these follows an @, it is prose and no host
)

// userInfo cuts the text between a user name's colon and the last @ that a host can follow. A password may hold any
// character, so the first colon that could be the user name's counts. A colon followed by a space is prose, and counts
// only if there is no other.
func userInfo(text string) string {
	end := -1
	for i := range len(text) {
		template := strings.HasSuffix(text[:i], "test:WIDTHxHEIGHT") && strings.HasPrefix(text[i:], "@FPS")
		if text[i] == '@' && !template && (i+1 == len(text) || strings.IndexByte(noHost, text[i+1]) < 0) {
			end = i
		}
	}

	if end < 0 {
		return text
	}

	start := strings.IndexByte(text[:end], ':')
	for i := start; i >= 0 && i < end; i++ {
		if text[i] == ':' && strings.IndexByte(space, text[i+1]) < 0 {
			start = i
			break
		}
	}

	inner, isURL := "", false
	if start >= 0 {
		inner, isURL = strings.CutPrefix(text[start:end], "://")
	}
	switch {
	case start < 0 || isURL && hidden.MatchString(inner):
		return text
	case !isURL:
		return text[:start+1] + Mark + text[end:]
	case strings.ContainsAny(inner, "/?#"): // whether a host is before this or behind the @, nobody can tell
		return text[:start+3] + Mark + token.ReplaceAllString(text[end:], "")
	}

	return text[:start+3] + text[end+1:]
}

// shorten keeps the scheme, host and port of a URL, and the punctuation of the sentence around it.
func shorten(url string) string {
	scheme, rest, _ := strings.Cut(url, "://")
	host := strings.TrimRight(rest, ".,:;!?)")
	after := rest[len(host):]
	if host == "" {
		return url
	}

	if i := strings.IndexAny(host, "/?#"); i >= 0 && host[i:] == "/" {
		host, after = host[:i], "/"+after
	} else if i >= 0 {
		host, after = host[:i], "/…"+after
	}

	login := ""
	if before, behind, ok := strings.Cut(host, "@"); ok && hidden.MatchString(before) {
		login, host = before+"@", behind
	}
	if !address.MatchString(host) {
		host = Mark
	}

	return scheme + "://" + login + host + after
}
