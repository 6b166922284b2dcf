package pairing

import (
	"slices"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/crypto/identity"
)

// A code's words depend on its displayer and its relay alone: they are the same for every secret, expiry and role, so
// that anybody may see them.
func TestCodeWordsNameDisplayerAndRelayAlone(t *testing.T) {
	displayer := generate(t).Bundle()
	code := func(relay string, role identity.Role, of identity.Bundle, life time.Duration) Code {
		c, err := NewCode(relay, role, of, time.Now().Add(life))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}

	first := code(relay, identity.Camera, displayer, time.Minute)

	for what, c := range map[string]Code{
		"another secret and expiry": code(relay, identity.Camera, displayer, time.Hour),
		"another role":              code(relay, identity.Viewer, displayer, time.Minute),
	} {
		if c.secret == first.secret {
			t.Fatalf("%s: the same secret", what)
		}
		if !slices.Equal(c.Words(), first.Words()) {
			t.Errorf("%s: words %q, want %q", what, c.Words(), first.Words())
		}
	}

	for what, c := range map[string]Code{
		"another relay":     code("https://other.example", identity.Camera, displayer, time.Minute),
		"another displayer": code(relay, identity.Camera, generate(t).Bundle(), time.Minute),
	} {
		if slices.Equal(c.Words(), first.Words()) {
			t.Errorf("%s: words %q are the same", what, c.Words())
		}
	}

	if slices.Equal(first.Words(), DeviceWords(displayer.Fingerprint())) {
		t.Errorf("the device's words are the code's: %q", first.Words())
	}
}
