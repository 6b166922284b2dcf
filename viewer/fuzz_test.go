package viewer

import (
	"errors"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/peephole-cam/peephole/crypto/pairing"
	"github.com/peephole-cam/peephole/printable"
)

// FuzzWelcome: a camera's own name is short, and cannot manipulate a terminal or the lines of a list.
func FuzzWelcome(f *testing.F) {
	for _, seed := range []string{`{"name":"front door"}`, `{"name":"\u001b[2J\u202e\n"}`,
		`{"name":"` + strings.Repeat("x", 201) + `"}`, `{"NAME":"a","name":null}`, `[]`, ``} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		w, err := parseWelcome(body)
		if err != nil {
			if w.Name != "" || !errors.Is(err, pairing.ErrInvalid) {
				t.Errorf("%q, %v", w.Name, err)
			}
			return
		}

		if utf8.RuneCountInString(w.Name) > printable.MaxName || strings.IndexFunc(w.Name, func(r rune) bool {
			return !unicode.IsPrint(r)
		}) >= 0 {
			t.Errorf("a camera is called %q", w.Name)
		}
	})
}
