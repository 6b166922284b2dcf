package session

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// The person is told when pictures are left out again and again, in one sentence that does not change with every measurement, and until
// some time after the last.
func TestLackIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l lack
		said := make(map[string]bool)
		for n := range 40 {
			if text := l.String(); (n > 5) != (text != "") { // left out every second, and told after five
				t.Fatalf("after %d seconds: %q", n, text)
			} else if text != "" {
				said[text] = true
			}
			l.left(time.Now(), 500_000+float64(n%5)*40_000, 1_000_000)
			time.Sleep(time.Second)
		}
		if len(said) != 1 || !said["the network is too slow for this camera's stream: 500 kbit/s, 1000 kbit/s wanted: choose the camera's substream"] {
			t.Errorf("said %v", said)
		}
		l.left(time.Now(), 100_000, 1_000_000)
		l.left(time.Now(), 100_000, 1_000_000)
		if text := l.String(); strings.Contains(text, "500") || text == "" {
			t.Errorf("much slower: %q", text)
		}
		if time.Sleep(lackUntil + 1); l.String() != "" {
			t.Error("told for ever")
		}
	})
}

// A hiccup is not worth a word, and a rate that is not known, or cannot be, is not named.
func TestLackIsNotTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l lack
		for range 10 {
			for range 20 {
				l.left(time.Now(), 500_000, 1_000_000)
			}
			if l.String() != "" {
				t.Error("told of a hiccup")
			}
			time.Sleep(2 * lackUntil)
		}
		for range 10 {
			l.left(time.Now(), 0, 1_000_000)
			time.Sleep(time.Second)
		}
		if text := l.String(); text != "the network is too slow for this camera's stream: 1000 kbit/s wanted: choose the camera's substream" {
			t.Errorf("said %q", text)
		}
	})
}
