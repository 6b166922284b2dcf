package redact

import "strings"

// delimiters end a value when they are not percent-encoded.
const delimiters = " \t\r\n&;,'\"<>"

// unescape removes all percent-encoding, however nested, in one pass: a decoded byte can be part of another escape. An
// encoded delimiter becomes U+FFFD, which ends no value.
func unescape(text string) string {
	if !strings.Contains(text, "%") {
		return text
	}
	out := make([]byte, 0, len(text))
	for i := range len(text) {
		out = append(out, text[i])
		for {
			n := len(out)
			if n < 3 || out[n-3] != '%' {
				break
			}
			high, ok1 := nibble(out[n-2])
			low, ok2 := nibble(out[n-1])
			if !ok1 || !ok2 {
				break
			}

			out = append(out[:n-3], high<<4|low)
			if strings.IndexByte(delimiters, high<<4|low) >= 0 {
				out = append(out[:n-3], "\uFFFD"...)
			}
		}
	}

	return string(out)
}

func nibble(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}
