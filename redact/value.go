package redact

import (
	"slices"
	"strings"
)

// secretNames are how names end whose values are secrets, in lower case.
var secretNames = []string{
	"pass", "password", "passwd", "passphrase", "pwd", "pw", "secret", "token", "key", "credential", "credentials",
	"ticket", "auth", "signature", "sig", "session", "sid", "cookie", "seed",
}

// maxName exceeds the length of any of them, in bytes.
const maxName = 32

// header is a name whose value extends to the end of the line.
const header = "authorization"

// namedValues cuts the values of secret names, written as in a query (name=value), in JSON ("name": "value"), or in SDP
// and Go's structs (name:value). A colon between a bare name and a space is prose.
func namedValues(text string) string {
	var out strings.Builder
	done := 0
	for i := 0; i < len(text); i++ {
		if text[i] != '=' && text[i] != ':' {
			continue
		}
		if begin, end := value(text, i); begin < end {
			out.WriteString(text[done:begin])
			out.WriteString(Mark)
			done, i = end, end-1
		}
	}

	out.WriteString(text[done:])
	return out.String()
}

// value returns where a secret begins and ends, if its name precedes text[at], which is an equals sign or a colon. The
// range is empty if the name is not a secret's.
func value(text string, at int) (begin, end int) {
	before := strings.TrimRight(text[:at], " \t")
	name := strings.TrimRight(before, `"'\`)
	quoted := len(name) < len(before)
	name = strings.ToLower(name[max(len(name)-maxName, 0):])

	rest := strings.TrimLeft(text[at+1:], " \t")
	begin = len(text) - len(rest)
	if strings.HasSuffix(name, header) {
		return begin, begin + endOf(rest, "\r\n")
	}
	if !slices.ContainsFunc(secretNames, func(s string) bool { return strings.HasSuffix(name, s) }) {
		return 0, 0
	}
	if prose := len(before) < at || begin > at+1; text[at] == ':' && !quoted && prose {
		return 0, 0
	}

	inner := strings.TrimLeft(rest, `\`)
	if inner != "" && (inner[0] == '"' || inner[0] == '\'') {
		begin = len(text) - len(inner) + 1
		return begin, begin + len(strings.TrimRight(inner[1:1+endOf(inner[1:], inner[:1])], `\`))
	}
	return begin, begin + endOf(rest, delimiters)
}

// endOf returns the length of text up to the first of stops.
func endOf(text, stops string) int {
	if i := strings.IndexAny(text, stops); i >= 0 {
		return i
	}
	return len(text)
}
