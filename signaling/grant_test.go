package signaling

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
)

// A grant has at most eight servers, with URLs and credentials of bounded length. Anything beyond is refused. The same
// holds for the servers that a viewer passes on (package handshake, TestOfferIsWholeAndOfOneKind).
func TestGrantIsBounded(t *testing.T) {
	whole := func() Grant {
		c := Credentials{Username: strings.Repeat("u", maxCredential), Credential: strings.Repeat("p", maxCredential)}
		urls := slices.Repeat([]string{strings.Repeat("x", maxServerURL)}, maxServers)
		return Grant{URLs: urls, TTL: 60, Viewer: c, Camera: c}
	}
	for name, change := range map[string]func(g *Grant){
		"":                               func(*Grant) {},
		"one server too many":            func(g *Grant) { g.URLs = append(g.URLs, "turn:x") },
		"a server's name too long":       func(g *Grant) { g.URLs[7] += "x" },
		"the viewer's name too long":     func(g *Grant) { g.Viewer.Username += "x" },
		"the viewer's password too long": func(g *Grant) { g.Viewer.Credential += "x" },
		"the camera's name too long":     func(g *Grant) { g.Camera.Username += "x" },
		"the camera's password too long": func(g *Grant) { g.Camera.Credential += "x" },
		"a great many servers":           func(g *Grant) { g.URLs = slices.Repeat(g.URLs, 100) },
	} {
		g := whole()
		change(&g)
		text, err := json.Marshal(g)
		if err != nil {
			t.Fatal(err)
		}

		if _, err := parseGrant(text); (err == nil) != (name == "") || err != nil && !errors.Is(err, ErrFrame) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
