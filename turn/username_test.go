package turn

import (
	"strings"
	"testing"
)

const goodUsername = "1800000000:AAECAwQFBgcICQoLDA0ODw:v:AAECAwQF:0a1b2c3d"

func TestUsernameHasOneSpelling(t *testing.T) {
	u, err := parseUsername(goodUsername)
	if err != nil {
		t.Fatal(err)
	}
	if u.expires().Unix() != 1800000000 || u.session[15] != 15 || u.role != viewer ||
		u.payer != (payerID{0, 1, 2, 3, 4, 5}) || u.key != (keyID{0x0a, 0x1b, 0x2c, 0x3d}) {
		t.Errorf("got %+v", u)
	}

	for name, bad := range map[string]string{
		"empty":             "",
		"expiry signed":     "+1800000000" + goodUsername[10:],
		"expiry negative":   "-1800000000" + goodUsername[10:],
		"expiry padded":     "0" + goodUsername,
		"expiry missing":    goodUsername[10:],
		"expiry huge":       "9999999999999" + goodUsername[10:],
		"payer empty":       strings.Replace(goodUsername, ":AAECAwQF:", "::", 1),
		"payer missing":     strings.Replace(goodUsername, ":AAECAwQF:", ":", 1),
		"payer short":       strings.Replace(goodUsername, ":AAECAwQF:", ":AAECAwQ:", 1),
		"payer long":        strings.Replace(goodUsername, ":AAECAwQF:", ":AAECAwQFBg:", 1),
		"payer alphabet":    strings.Replace(goodUsername, ":AAECAwQF:", ":AAECAw+F:", 1),
		"session short":     strings.Replace(goodUsername, "AAEC", "AA", 1),
		"session long":      strings.Replace(goodUsername, "AAEC", "AAECAA", 1),
		"session not zero":  strings.Replace(goodUsername, "ODw:", "ODx:", 1),
		"session newline":   strings.Replace(goodUsername, "AAEC", "AAEC\n", 1),
		"session alphabet":  strings.Replace(goodUsername, "AAEC", "AA+C", 1),
		"role unknown":      strings.Replace(goodUsername, ":v:", ":x:", 1),
		"role both":         strings.Replace(goodUsername, ":v:", ":cv:", 1),
		"role empty":        strings.Replace(goodUsername, ":v:", "::", 1),
		"key id upper case": strings.Replace(goodUsername, "0a1b", "0A1B", 1),
		"key id short":      goodUsername[:len(goodUsername)-2],
		"key id long":       goodUsername + "00",
		"sixth field":       goodUsername + ":",
		"space":             " " + goodUsername,
	} {
		if u, err := parseUsername(bad); err == nil {
			t.Errorf("%s: %q was read as %+v", name, bad, u)
		}
	}
}

// FuzzUsername: a username that is read is written the same way again, so no two spellings mean the same.
func FuzzUsername(f *testing.F) {
	f.Add(goodUsername)
	f.Add("0:AAAAAAAAAAAAAAAAAAAAAA:c:AAAAAAAA:00000000")
	f.Add("1:2:3:4")
	f.Fuzz(func(t *testing.T, s string) {
		if u, err := parseUsername(s); err == nil && u.text() != s {
			t.Errorf("%q was read as %q", s, u.text())
		}
	})
}
