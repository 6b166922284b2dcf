package relay

import (
	"bytes"
	"errors"
	"log/slog"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pion/stun/v3"

	"github.com/peephole-cam/peephole/signaling"
	"github.com/peephole-cam/peephole/signaling/region"
	"github.com/peephole-cam/peephole/turn"
)

// regionSeedOf returns the seed of a test region's key.
func regionSeedOf(n byte) func() ([]byte, error) {
	return func() ([]byte, error) { return bytes.Repeat([]byte{n}, turn.RegionKeySize), nil }
}

func publicKeyOf(t *testing.T, n byte) string {
	t.Helper()
	seed, _ := regionSeedOf(n)()
	key, err := turn.NewRegionKey(seed)
	if err != nil {
		t.Fatal(err)
	}
	return region.KeyText(key.Public())
}

// serveTURN starts the TURN server of a region.
func serveTURN(t *testing.T) *turnService {
	t.Helper()
	s, err := newTURN(
		&Config{TURN: "127.0.0.1:0", Allocations: 100, LoopbackUnlimited: true},
		"http://127.0.0.1:7880",
		turnStreams{tcp: listenTCP(t)},
		slog.New(slog.DiscardHandler),
	)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.server.Close() })
	ended := make(chan struct{})
	go func() { defer close(ended); _ = s.server.Run(t.Context()) }() // returns why the test's context has ended
	t.Cleanup(func() { <-ended })
	return s
}

// allocates reports whether a TURN server allocates to a client with these credentials.
func allocates(t *testing.T, s *turnService, c signaling.Credentials) bool {
	t.Helper()
	conn, err := net.Dial("udp", s.server.Addresses().UDP.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()

	ask := func(setters ...stun.Setter) *stun.Message {
		wantUDP := stun.RawAttribute{Type: stun.AttrRequestedTransport, Value: []byte{17, 0, 0, 0}}
		head := []stun.Setter{stun.TransactionID, stun.NewType(stun.MethodAllocate, stun.ClassRequest), wantUDP}
		if _, err := conn.Write(stun.MustBuild(append(head, setters...)...).Raw); err != nil {
			t.Fatal(err)
		}
		answer := make([]byte, 1500)
		n, err := conn.Read(answer)
		if err != nil {
			t.Fatal(err)
		}
		m := &stun.Message{Raw: answer[:n]}
		if err := m.Decode(); err != nil {
			t.Fatal(err)
		}
		return m
	}

	var realm stun.Realm
	var nonce stun.Nonce
	first := ask()
	if err := errors.Join(realm.GetFrom(first), nonce.GetFrom(first)); err != nil {
		t.Fatal(err)
	}
	key := stun.NewLongTermIntegrity(c.Username, realm.String(), c.Credential)
	return ask(stun.NewUsername(c.Username), realm, nonce, key).Type.Class == stun.ClassSuccessResponse
}

// mapOf returns a map of regions 1 to n, whose relays are at https://1.example and so on.
func mapOf(t *testing.T, n int) (m region.Map) {
	t.Helper()
	for i := 1; i <= n; i++ {
		host := string(rune('0'+i)) + ".example"
		m.Regions = append(m.Regions, region.Region{
			Name: string(rune('a' + i - 1)),
			URL:  "https://" + host,
			TURN: host + ":3478",
			Key:  publicKeyOf(t, byte(i)),
		})
	}
	return m
}

// TestRelayGrantsInAnotherRegion: what a client asks for there is accepted there and nowhere else. Once the map no
// longer names the relay's region, its credentials are void.
func TestRelayGrantsInAnotherRegion(t *testing.T) {
	m := mapOf(t, 3)
	m.Regions[1].STUN = "2.example:3479"
	var servers []*turnService
	for i := range m.Regions {
		s := serveTURN(t)
		if err := s.share(m, m.Regions[i].URL, regionSeedOf(byte(i+1))); err != nil {
			t.Fatal(err)
		}
		servers = append(servers, s)
	}

	g, err := servers[0].Grant("ticket 1", signaling.Name{1}, "b", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	urls := []string{"turn:2.example:3478?transport=udp", "turn:2.example:3478?transport=tcp",
		"turns:2.example:443?transport=tcp", "stun:2.example:3479"}
	if g.Region != "b" || !slices.Equal(g.URLs, urls) {
		t.Errorf("granted %q, %v", g.Region, g.URLs)
	}
	for i, s := range servers {
		for _, c := range []signaling.Credentials{g.Viewer, g.Camera} {
			if got := allocates(t, s, c); got != (i == 1) {
				t.Errorf("region %d allocates: %v", i+1, got)
			}
		}
	}

	without := region.Map{Regions: m.Regions[1:]}
	if err := servers[1].share(without, m.Regions[1].URL, regionSeedOf(2)); err != nil {
		t.Fatal(err)
	}
	if allocates(t, servers[1], g.Viewer) {
		t.Error("a region that was removed from the map still grants")
	}
}

// TestRelayGrantsItsOwnWhereItCannotGrantAnother: a session is never left without a TURN server.
func TestRelayGrantsItsOwnWhereItCannotGrantAnother(t *testing.T) {
	m := mapOf(t, 3)
	m.Regions[2].Key = ""
	s := serveTURN(t)
	grantsOwn := func(why, name string) {
		t.Helper()
		g, err := s.Grant("", signaling.Name{}, name, time.Now())
		if err != nil || g.Region != "" || !slices.Equal(g.URLs, s.urls) || !allocates(t, s, g.Viewer) {
			t.Errorf("%s: %q, %v, %v", why, g.Region, g.URLs, err)
		}
	}

	grantsOwn("no map", "b")
	if err := s.share(m, m.Regions[0].URL, regionSeedOf(1)); err != nil {
		t.Fatal(err)
	}
	grantsOwn("no region", "")
	grantsOwn("its own region", "a")
	grantsOwn("a region without a key", "c")
	grantsOwn("an unknown region", "d")

	for why, change := range map[string]func(m *region.Map, seed *byte){
		"another key than its own":       func(_ *region.Map, seed *byte) { *seed = 7 },
		"a key of which all know enough": func(m *region.Map, _ *byte) { m.Regions[1].Key = strings.Repeat("A", 43) },
	} {
		m, seed := mapOf(t, 2), byte(1)
		change(&m, &seed)
		if err := s.share(m, m.Regions[0].URL, regionSeedOf(seed)); err == nil {
			t.Errorf("%s: no error", why)
		}
		grantsOwn(why, "b")
	}

	unnamed := region.Map{Regions: mapOf(t, 3).Regions[1:]}
	if err := s.share(unnamed, m.Regions[0].URL, regionSeedOf(1)); err != nil {
		t.Fatal(err)
	}
	grantsOwn("a map without this region", "b")
}

// TestOperatorIsToldThatARegionsKeyDoesNotFit: the relay serves nevertheless.
func TestOperatorIsToldThatARegionsKeyDoesNotFit(t *testing.T) {
	var log bytes.Buffer
	m := mapOf(t, 2)
	r := &Relay{
		cfg:  Config{RegionKey: regionSeedOf(7)},
		log:  slog.New(slog.NewTextHandler(&log, nil)),
		url:  m.Regions[0].URL,
		turn: serveTURN(t),
	}
	r.regions.current.Store(&servedMap{Map: m})
	r.shareTURN()
	for _, want := range []string{
		"this relay grants no TURN in other regions, and they grant none here",
		"the map of regions has another key for this region than its state folder: put what relay regions key prints " +
			"into regions.toml, and sign it again",
	} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("no %q in %s", want, &log)
		}
	}

	log.Reset()
	r.cfg.RegionKey = regionSeedOf(1)
	r.shareTURN()
	if _, ok := r.turn.other("b"); !ok || log.Len() > 0 {
		t.Errorf("with the right key: %v, %s", ok, &log)
	}
}
