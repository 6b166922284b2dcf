package pairing

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/crypto/identity"
	"github.com/peephole-cam/peephole/relayurl"
)

// What Parse must read and refuse is in testdata/vectors.json.

func TestNewCodeReadsAsItWasWritten(t *testing.T) {
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
}

// TestNoCodeLeadsToARelayInTheClear: neither a code nor a displayer is made for a URL that a scanner would not follow.
func TestNoCodeLeadsToARelayInTheClear(t *testing.T) {
	self := generate(t)
	for url, want := range map[string]error{
		"":                           relayurl.ErrForm,
		"http://relay.example":       relayurl.ErrPlain,
		"https://relay.example/path": relayurl.ErrForm,
	} {
		if c, err := NewCode(url, identity.Camera, self.Bundle(), time.Now()); !errors.Is(err, want) ||
			c != (Code{}) {
			t.Errorf("a code for %q: %v", url, err)
		}
		if d, err := NewDisplayer(self, identity.Camera, url, time.Minute); !errors.Is(err, want) || d != nil {
			t.Errorf("a displayer for %q: %v", url, err)
		}
	}
}

// TestCodeHasThreeHundredCharactersAtMost, so that any camera can read it.
func TestCodeHasThreeHundredCharactersAtMost(t *testing.T) {
	b := generate(t).Bundle()
	// 8 + 204 + 4, and 84 more for what follows
	longest := "https://" + strings.Repeat(strings.Repeat("a", 50)+".", 4) + "abcd"
	c, err := NewCode(longest, identity.Camera, b, time.Now())
	if err != nil || len(c.URI()) != 300 {
		t.Fatalf("%d characters: %v", len(c.URI()), err)
	}

	if got, err := Parse(c.URI()); err != nil || got != c {
		t.Errorf("read as %v, %v", got, err)
	}

	if _, err := NewCode(longest+"e", identity.Camera, b, c.Expiry); err == nil ||
		!strings.Contains(err.Error(), "relay URL too long: the code would have ") {
		t.Errorf("a code longer than a lens can read is made: %v", err)
	}
	c.RelayURL += "e"
	if _, err := Parse(c.URI()); !errors.Is(err, ErrForeign) {
		t.Errorf("a code longer than any is read: %v", err)
	}
}
