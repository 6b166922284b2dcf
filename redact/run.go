package redact

import (
	"regexp"
	"strings"
)

// secretLength is the length of 128 bits in base64url, in characters.
const secretLength = 22

var (
	public = regexp.MustCompile(`^[0-9a-f]{64}$`)
	words  = regexp.MustCompile(`^([A-Z]?[a-z]{2,}|[0-9]+|[-_])+$`)
)

// longRuns cuts what looks like a secret by itself: a long run of base64url that is neither a public name nor words, or
// a run of base64 that ends in padding.
func longRuns(text string) string {
	var out strings.Builder
	done := 0
	for i := 0; i < len(text); i++ {
		end := i
		for end < len(text) && inAlphabet(text[end]) {
			end++
		}
		if end-i < secretLength {
			i = end
			continue
		}

		out.WriteString(text[done:i])
		if padding := paddingOf(text[end:]); padding > 0 {
			out.WriteString(Mark)
			end += padding
		} else {
			out.WriteString(piecesOf(text[i:end]))
		}
		done, i = end, end
	}

	out.WriteString(text[done:])
	return out.String()
}

// piecesOf cuts the secrets out of a run whose slashes may belong to a path. udev's names of cameras are long, but no
// secrets.
func piecesOf(run string) string {
	if strings.HasPrefix(run, "/dev/v4l/by-") {
		return run
	}
	pieces := strings.Split(run, "/")
	for i, p := range pieces {
		if len(p) >= secretLength && !public.MatchString(p) && !words.MatchString(p) {
			pieces[i] = Mark
		}
	}

	return strings.Join(pieces, "/")
}

// paddingOf returns how many characters of base64 padding text begins with.
func paddingOf(text string) int {
	n := len(text) - len(strings.TrimLeft(text, "="))
	if n > 2 || n < len(text) && inAlphabet(text[n]) {
		return 0
	}
	return n
}

// inAlphabet reports whether c is in the alphabet of base64 or base64url.
func inAlphabet(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '+' || c == '/' || c == '-' ||
		c == '_'
}
