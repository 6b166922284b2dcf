package signaling

import (
	"encoding/json"
	"reflect"
	"testing"
)

// FuzzGrant: a grant names at most maxServers servers, and survives a round trip.
func FuzzGrant(f *testing.F) {
	f.Add([]byte(`{"urls":["turn:192.0.2.1:7881?transport=udp"],"ttl":1800,` +
		`"viewer":{"username":"u","credential":"c"},"camera":{"username":"v","credential":"d"}}`))
	f.Add([]byte(`{"urls":["","","","","","","","",""]}`))
	f.Add([]byte(`{"ttl":-1e99}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, text []byte) {
		g, err := parseGrant(text)
		if err != nil {
			if !reflect.DeepEqual(g, Grant{}) {
				t.Errorf("a refused grant returns %+v", g)
			}
			return
		}

		if len(g.URLs) > maxServers {
			t.Errorf("%d servers", len(g.URLs))
		}
		again, err := json.Marshal(g)
		if err != nil {
			t.Fatal(err)
		}

		if g2, err := parseGrant(again); err != nil || !reflect.DeepEqual(g, g2) {
			t.Errorf("wrote %+v, and read it back as %+v, %v", g, g2, err)
		}
	})
}
