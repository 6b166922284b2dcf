package pairing

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/crypto/identity"
)

// What Parse must read and refuse is in testdata/vectors.json.

func TestNewCode(t *testing.T) {
	b := generate(t).Bundle()
	c, err := NewCode("https://Relay.example:443/", identity.Camera, b, time.Now())
	if err != nil || c.RelayURL != relay {
		t.Errorf("%v, %v", c, err)
	}
	if other, err := NewCode(relay, identity.Camera, b, c.Expiry); err != nil || other.secret == c.secret {
		t.Errorf("the same S twice: %v", err)
	}
	if got, err := Parse(c.URI()); err != nil || got != c {
		t.Errorf("%v, %v", got, err)
	}
	label := strings.Repeat("a", 50) + "."
	longest := "https://" + strings.Repeat(label, 4) + "ab" // 8 + 204 + 2, and 84 more for what follows
	if c, err := NewCode(longest, identity.Camera, b, c.Expiry); err != nil || len(c.URI()) > MaxCode {
		t.Errorf("%d characters: %v", len(c.URI()), err)
	}
	if _, err := NewCode(longest+"abc", identity.Camera, b, c.Expiry); err == nil {
		t.Error("a code longer than a lens can read")
	}
}

func TestNormalizeRelayURL(t *testing.T) {
	for text, want := range map[string]string{
		"https://relay.example":                "https://relay.example",
		"https://Relay.Example/":               "https://relay.example",
		"HTTPS://relay.example:443":            "https://relay.example",
		"https://relay.example:08443":          "https://relay.example:8443",
		"https://relay.example:80":             "https://relay.example:80",
		"http://localhost:80":                  "http://localhost",
		"http://127.0.0.1:443":                 "http://127.0.0.1:443",
		"http://[0:0:0:0:0:0:0:1]:8080":        "http://[::1]:8080",
		"https://[2001:DB8::A]":                "https://[2001:db8::a]",
		"":                                     "",
		"relay.example":                        "",
		"relay.example:443":                    "",
		"https:relay.example":                  "",
		"https://":                             "",
		"https://:443":                         "",
		"https://relay.example:0":              "",
		"https://relay.example:65536":          "",
		"https://relay.example:x":              "",
		"https://relay.example/path":           "",
		"https://relay.example?q":              "",
		"https://relay.example?q=1":            "",
		"https://relay.example#f":              "",
		"https://me:pw@relay.example":          "",
		"https://relay.example.":               "",
		"https://relay..example":               "",
		"https://relay example":                "",
		"https://bücher.example":               "",
		"https://127.1":                        "",
		"https://0x7f000001":                   "",
		"https://2130706433":                   "",
		"https://[::ffff:127.0.0.1]":           "",
		"https://[fe80::1%25eth0]":             "",
		"http://relay.example":                 "",
		"http://127.0.0.1.example":             "",
		"http://10.0.0.1":                      "",
		"ws://127.0.0.1":                       "",
		"ftp://relay.example":                  "",
		"https://" + strings.Repeat("a", 1000): "https://" + strings.Repeat("a", 1000),
	} {
		got, err := NormalizeRelayURL(text)
		if got != want || (err == nil) != (want != "") || err != nil && !errors.Is(err, ErrRelayURL) {
			t.Errorf("%s: %q, %v, want %q", text, got, err, want)
		}
		if again, err := NormalizeRelayURL(got); got != "" && (err != nil || again != got) {
			t.Errorf("%s is not its own spelling: %q, %v", got, again, err)
		}
	}
}
