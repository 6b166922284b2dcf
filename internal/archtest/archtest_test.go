package archtest

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestRules holds the module's own source against every rule.
func TestRules(t *testing.T) {
	source := readTree(t, filepath.Join("..", ".."))
	for _, r := range rules {
		t.Run(r.name, func(t *testing.T) {
			found := r.check(source)
			slices.Sort(found)
			for _, f := range found {
				t.Error(f)
			}
		})
	}
}

// TestPlanted plants each fault in a sound tree and wants exactly its rule to see it.
func TestPlanted(t *testing.T) {
	imports := func(dir string, imps ...string) func(tree) {
		return func(t tree) { t.packages[dir].imports = append(t.packages[dir].imports, imps...) }
	}
	testImports := func(dir string, imps ...string) func(tree) {
		return func(t tree) { t.packages[dir].testImports = append(t.packages[dir].testImports, imps...) }
	}
	remove := func(dir string) func(tree) { return func(t tree) { delete(t.packages, dir) } }
	for _, tt := range []struct {
		name  string
		plant func(tree)
		rule  string
		says  string
	}{
		{"nothing", func(tree) {}, "", ""},
		{"relay imports sframe", imports("cmd/relay", "crypto/sframe"), "the relay is blind", "cmd/relay imports crypto/sframe"},
		{"relay imports pairing", imports("cmd/relay", "crypto/pairing"), "the relay is blind", "cmd/relay imports crypto/pairing"},
		{"relay imports session", imports("cmd/relay", "session"), "the relay is blind", "cmd/relay imports session"},
		{"relay reaches envelope", imports("internal/obs", "crypto/envelope"), "the relay is blind", "cmd/relay imports internal/obs imports crypto/envelope"},
		{"relay test opens", testImports("cmd/relay", "crypto/envelope"), "the relay is blind", "tests of cmd/relay import crypto/envelope"},
		{"no relay", remove("cmd/relay"), "the relay is blind", "cmd/relay does not exist"},
		{"sframe renamed", remove("crypto/pairing"), "the relay is blind", "crypto/pairing does not exist"},
		{"a build without sealing", func(t tree) { t.builds["crypto/envelope/open_off.go"] = "//go:build unsealed" }, "sealing cannot be built away", `tag "unsealed"`},
		{"a build without sealing, negated", func(t tree) { t.builds["session/x.go"] = "//go:build linux && !unsealed" }, "sealing cannot be built away", `tag "unsealed"`},
		{"a command that fails on purpose", imports("cmd/relay", "internal/evilcloud"), "sealing cannot be built away", "cmd/relay imports internal/evilcloud"},
		{"signaling reads media", imports("signaling", "media"), "signaling carries opaque bytes", "signaling imports media"},
		{"server links turn", imports("signaling/server", "turn"), "signaling carries opaque bytes", "signaling/server imports turn"},
		{"no server", remove("signaling/server"), "signaling carries opaque bytes", "signaling/server does not exist"},
		{"command imported", imports("internal/e2e", "cmd/camera"), "nothing imports a command", "imports the command cmd/camera"},
		{"command imported by a test", testImports("internal/e2e", "cmd/viewer"), "nothing imports a command", "imports the command cmd/viewer"},
		{"camera imports viewer", imports("camera", "viewer"), "camera and viewer stay apart", "camera imports viewer"},
		{"viewer imports camera", imports("viewer/mobile", "camera"), "camera and viewer stay apart", "viewer/mobile imports camera"},
		{"viewer test imports camera", testImports("viewer", "camera"), "camera and viewer stay apart", "tests of viewer import camera"},
		{"identity imports sibling", imports("crypto/identity", "internal/obs"), "foundations import no sibling", "imports its sibling internal/obs"},
		{"media imports sibling", imports("media", "crypto/identity"), "foundations import no sibling", "media imports its sibling"},
		{"turn test imports sibling", testImports("turn", "crypto/identity"), "foundations import no sibling", "turn imports its sibling"},
		{"labels import sibling", imports("crypto/label", "crypto/identity"), "foundations import no sibling", "crypto/label imports its sibling"},
		{"no media", remove("media"), "foundations import no sibling", "media does not exist"},
		{"turn vendor", imports("camera", "github.com/pion/turn/v4"), "a vendor is imported in one place", "belongs in turn"},
		{"webrtc vendor", imports("viewer", "github.com/pion/webrtc/v4/pkg/media"), "a vendor is imported in one place", "belongs in session"},
		{"rtp vendor", imports("camera", "github.com/pion/rtp"), "a vendor is imported in one place", "belongs in session or media"},
		{"libp2p vendor", imports("session", "github.com/libp2p/go-libp2p"), "a vendor is imported in one place", "belongs in p2p"},
		{"quic vendor", imports("session", "github.com/quic-go/quic-go"), "a vendor is imported in one place", "belongs in fanout"},
		{"nats vendor", imports("signaling/server", "github.com/nats-io/nats.go"), "a vendor is imported in one place", "belongs in signaling/bus"},
		{"websocket vendor", imports("camera", "github.com/coder/websocket"), "a vendor is imported in one place", "belongs in signaling"},
		{"prometheus vendor", imports("turn", "github.com/prometheus/client_golang/prometheus"), "a vendor is imported in one place", "belongs in internal/obs"},
		{"vendor in a test", testImports("camera", "github.com/pion/webrtc/v4"), "a vendor is imported in one place", "belongs in session"},
		{"empty package name", func(t tree) { t.packages["media"].name = "util" }, "names say something", "package util in media"},
		{"empty folder name", func(t tree) { t.packages["internal/common"] = &pkg{name: "x", comments: []string{"doc.go"}} }, "names say something", "internal/common"},
		{"empty file name", func(t tree) { t.lines["session/helpers_test.go"] = 9 }, "names say something", "session/helpers_test.go"},
		{"no comment", func(t tree) { t.packages["media"].comments = nil }, "a package has one comment", "has 0 package comments"},
		{"two comments", func(t tree) { t.packages["media"].comments = []string{"a.go", "b.go"} }, "a package has one comment", "has 2 package comments"},
		{"fuzz target without a corpus", func(t tree) { t.packages["media"].targets = []string{"FuzzSPS"} }, "a fuzz target has a corpus", "FuzzSPS of media has no corpus"},
		{"corpus without a fuzz target", func(t tree) { t.packages["media"].corpora = []string{"FuzzSPS"} }, "a fuzz target has a corpus", "media/testdata/fuzz/FuzzSPS is the corpus of no"},
		{"rapid in a command", imports("cmd/viewer", "pgregory.net/rapid"), "a vendor is imported in one place", "belongs in internal/model"},
		{"long file", func(t tree) { t.lines["web/src/page.ts"] = 701 }, "a file is one noun", "page.ts has 701 lines"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			planted := sound()
			tt.plant(planted)
			for _, r := range rules {
				found := strings.Join(r.check(planted), "\n")
				switch {
				case r.name == "exceptions are in use": // of the module's own tree only
				case r.name == tt.rule && !strings.Contains(found, tt.says):
					t.Errorf("%s: said %q, want %q", r.name, found, tt.says)
				case r.name != tt.rule && found != "":
					t.Errorf("%s: said %q, want nothing", r.name, found)
				}
			}
		})
	}
}

// TestException wants an exception to cover that import by a test, nothing else, and only while it is in use.
func TestException(t *testing.T) {
	key := [2]string{"camera", "github.com/pion/webrtc/v4"}
	exceptions[key] = "planted"
	defer delete(exceptions, key)
	s := sound()
	if found := exceptionsInUse(s); !slices.ContainsFunc(found, func(f string) bool { return strings.Contains(f, key[1]) }) {
		t.Errorf("an unused exception was not seen: %q", found)
	}
	s.packages["camera"].testImports = []string{key[1]}
	if found := vendorsInOnePlace(s); len(found) != 0 {
		t.Errorf("the excepted test import was refused: %q", found)
	}
	s.packages["camera"].testImports, s.packages["camera"].imports = nil, []string{key[1]}
	if found := vendorsInOnePlace(s); len(found) != 1 {
		t.Errorf("an exception for tests covered production code: %q", found)
	}
}

// sound returns a small tree that breaks no rule.
func sound() tree {
	t := tree{packages: map[string]*pkg{}, lines: map[string]int{"media/doc.go": 700},
		builds: map[string]string{"media/process_linux.go": "//go:build linux", "internal/mixup/app_sealed.go": "//go:build !unsealed"}}
	for dir, imps := range map[string][]string{
		"crypto/label":     nil,
		"crypto/identity":  {"crypto/label"},
		"crypto/sframe":    nil,
		"crypto/pairing":   {"crypto/identity"},
		"crypto/envelope":  {"crypto/identity"},
		"media":            {"github.com/pion/rtp"},
		"turn":             {"github.com/pion/turn/v4"},
		"session":          {"crypto/envelope", "crypto/sframe", "github.com/pion/webrtc/v4"},
		"signaling":        {"crypto/identity", "github.com/coder/websocket"},
		"signaling/server": {"signaling"},
		"internal/obs":     {"github.com/prometheus/client_golang/prometheus"},
		"internal/e2e":     {"camera", "viewer"},
		"camera":           {"session", "media", "signaling", "crypto/pairing"},
		"viewer":           {"session", "signaling", "crypto/pairing"},
		"viewer/mobile":    {"viewer"},
		"cmd/relay":        {"signaling/server", "turn", "internal/obs"},
		"cmd/camera":       {"camera", "internal/obs"},
		"cmd/viewer":       {"viewer", "internal/obs"},
	} {
		t.packages[dir] = &pkg{name: dir, imports: imps, comments: []string{"doc.go"}}
	}
	return t
}
