package cluster

import (
	"slices"
	"strings"
	"testing"
)

func TestParseURLs(t *testing.T) {
	for _, c := range []struct{ list, urls, refusal string }{
		{"tls://nats.example:4222", "tls://nats.example:4222", ""},
		{"tls://a.example, tls://b.example/", "tls://a.example tls://b.example", ""},
		{"nats://127.0.0.1:4222,nats://[::1]:4223", "nats://127.0.0.1:4222 nats://[::1]:4223", ""},
		{"nats://192.0.2.1:4222", "", "not encrypted"},
		{"tls://a.example,nats://b.example", "", "nats://b.example is not encrypted"},
		{"tls://me:secret@a.example", "", "server a.example has a user in it"},
		{"tls://me@a.example", "", "server a.example has a user in it"},
		{"", "", "want tls://HOST:PORT"},
		{"a.example:4222", "", "want tls://HOST:PORT"},
		{"tls://", "", "want tls://HOST:PORT"},
		{"tls://a.example/path", "", "want tls://HOST:PORT"},
		{"tls://a.example?x", "", "want tls://HOST:PORT"},
		{strings.Repeat("tls://a.example,", maxServers) + "tls://b.example", "", "want 16 at most"},
	} {
		urls, err := ParseURLs(c.list)
		if c.refusal == "" && (err != nil || !slices.Equal(urls, strings.Fields(c.urls))) {
			t.Errorf("%q: %v, %v", c.list, urls, err)
		}
		if c.refusal != "" && (err == nil || !strings.Contains(err.Error(), c.refusal)) {
			t.Errorf("%q: %v, want %q", c.list, err, c.refusal)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: the error tells the secret", c.list)
		}
	}
}
