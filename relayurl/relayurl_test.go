package relayurl

import (
	"errors"
	"net/url"
	"strings"
	"testing"
)

func TestNormalizeGivesOneSpelling(t *testing.T) {
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
		"https://" + strings.Repeat("a", 1000): "https://" + strings.Repeat("a", 1000),
	} {
		got, err := Normalize(text)
		if got != want || err != nil {
			t.Errorf("%s: %q, %v, want %q", text, got, err, want)
		}
		if again, err := Normalize(got); again != got || err != nil {
			t.Errorf("%s is not its own spelling: %q, %v", got, again, err)
		}

		err = Check(text)
		if text == want && err != nil || text != want && (err == nil || err.Error() != "want it spelled "+want) {
			t.Errorf("check %s: %v", text, err)
		}
	}
}

func TestNormalizeRefusesOtherURLs(t *testing.T) {
	for text, want := range map[string]error{
		"":                            ErrForm,
		"relay.example":               ErrForm,
		"relay.example:443":           ErrForm,
		"https:relay.example":         ErrForm,
		"https://":                    ErrForm,
		"https://:443":                ErrForm,
		"https://relay.example:0":     ErrPort,
		"https://relay.example:65536": ErrPort,
		"https://relay.example:x":     ErrForm,
		"https://relay.example/path":  ErrForm,
		"https://relay.example?q":     ErrForm,
		"https://relay.example?q=1":   ErrForm,
		"https://relay.example#f":     ErrForm,
		"https://me:pw@relay.example": ErrForm,
		"https://relay.example.":      ErrForm,
		"https://relay..example":      ErrForm,
		"https://relay example":       ErrForm,
		"https://bücher.example":      ErrForm,
		"https://127.1":               ErrForm,
		"https://0x7f000001":          ErrForm,
		"https://2130706433":          ErrForm,
		"https://relay.0th":           ErrForm,
		"https://relay.9th":           ErrForm,
		"https://[::ffff:127.0.0.1]":  ErrForm,
		"https://[fe80::1%25eth0]":    ErrForm,
		"http://relay.example":        ErrPlain,
		"http://127.0.0.1.example":    ErrPlain,
		"http://10.0.0.1":             ErrPlain,
		"ws://127.0.0.1":              ErrForm,
		"ftp://relay.example":         ErrForm,
	} {
		if got, err := Normalize(text); got != "" || !errors.Is(err, want) {
			t.Errorf("%s: %q, %v, want %v", text, got, err, want)
		}
		if err := Check(text); !errors.Is(err, want) {
			t.Errorf("check %s: %v, want %v", text, err, want)
		}
	}
}

func TestLoopbackIsThisMachine(t *testing.T) {
	for text, want := range map[string]bool{
		"http://localhost:7880":     true,
		"http://127.0.0.2":          true,
		"https://[::1]:7880":        true,
		"https://relay.example":     false,
		"https://127.0.0.1.example": false,
		"https://192.0.2.1":         false,
		"https://localhost.example": false,
		"://":                       false,
		"":                          false,
	} {
		if got := Loopback(text); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}

// FuzzNormalize: a relay's URL has one spelling, leads over TLS or to this machine, and says nothing more.
func FuzzNormalize(f *testing.F) {
	for _, seed := range []string{
		"https://relay.example",
		"HTTPS://Relay.Example:443/",
		"http://127.0.0.1:80",
		"http://[::1]:7880",
		"https://127.1",
		"https://[::ffff:127.0.0.1]",
		"https://a:65536",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		normal, err := Normalize(text)
		if err != nil {
			if normal != "" || err != ErrForm && err != ErrPlain && err != ErrPort {
				t.Errorf("%q, %v", normal, err)
			}
			return
		}

		if again, err := Normalize(normal); err != nil || again != normal {
			t.Errorf("%q is not its own spelling: %q, %v", normal, again, err)
		}

		u, err := url.Parse(normal)
		if err != nil {
			t.Fatalf("%q cannot be read: %v", normal, err)
		}
		if want := (url.URL{Scheme: u.Scheme, Host: u.Host}); *u != want || u.Host == "" {
			t.Errorf("%q says more than where the relay is: %+v", normal, u)
		}

		host := u.Hostname()
		here := host == "localhost" || host == "::1" || strings.HasPrefix(host, "127.")
		if u.Scheme != "https" && (u.Scheme != "http" || !here) {
			t.Errorf("%q is neither encrypted nor on this machine", normal)
		}
	})
}
