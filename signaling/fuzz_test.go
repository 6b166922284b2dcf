package signaling

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"unicode"
)

// FuzzGrant: a grant names no more servers than it may, and is written as it was read.
func FuzzGrant(f *testing.F) {
	f.Add([]byte(`{"urls":["turn:192.0.2.1:7881?transport=udp"],"ttl":1800,"viewer":{"username":"u","credential":"c"},"camera":{"username":"v","credential":"d"}}`))
	f.Add([]byte(`{"urls":["","","","","","","","",""]}`))
	f.Add([]byte(`{"ttl":-1e99}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, text []byte) {
		g, err := parseGrant(text)
		if err != nil {
			if !reflect.DeepEqual(g, Grant{}) {
				t.Errorf("a refused grant names %+v", g)
			}
			return
		}
		if len(g.URLs) > maxURLs {
			t.Errorf("%d servers", len(g.URLs))
		}
		again, err := json.Marshal(g)
		if err != nil {
			t.Fatal(err)
		}
		if g2, err := parseGrant(again); err != nil || !reflect.DeepEqual(g, g2) {
			t.Errorf("%+v is written as what reads %+v, %v", g, g2, err)
		}
	})
}

// FuzzPrintable: what a relay says of an error cannot play with a terminal.
func FuzzPrintable(f *testing.F) {
	for _, seed := range []string{"quota used up", "\x1b[2J\x07", "\u202e", "\xff", strings.Repeat("é", maxText)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		shown := printable(s)
		if strings.IndexFunc(shown, func(r rune) bool { return !unicode.IsPrint(r) || r == unicode.ReplacementChar }) >= 0 || len(shown) > maxText {
			t.Errorf("%q is shown as %q", s, shown)
		}
	})
}
