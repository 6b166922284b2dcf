package main

import (
	"strings"
	"testing"

	"github.com/peephole-cam/peephole/relay"
)

func TestTrustedProxiesAreNetworks(t *testing.T) {
	for list, says := range map[string]string{
		"":                              "",
		"127.0.0.1,::1,2001:db8::/32":   "",
		"10.1.2.3/8":                    "want addresses or networks",
		"relay.example":                 "want addresses or networks",
		"127.0.0.1, ::1":                "want addresses or networks",
		"fe80::1%eth0":                  "want addresses or networks",
		"::ffff:10.0.0.1":               "want addresses or networks",
		"0.0.0.0/0":                     "that is everybody",
		"2001:db8::1,::/0":              "that is everybody",
		"127.0.0.1,10.0.0.0/8,10.0.0.1": "",
	} {
		_, err := parseProxies(list, string(relay.XForwardedFor))
		if got := err == nil; got != (says == "") || !got && !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, want %q", list, err, says)
		}
	}
	if _, err := parseProxies("", "via"); err == nil {
		t.Error("an unknown header is accepted")
	}
}
