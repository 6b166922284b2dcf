package archtest

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestRules checks the module's own source against every rule.
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

// TestOnlyItsRuleSeesAPlantedFault plants each fault in a sound tree, and only its rule may see it.
func TestOnlyItsRuleSeesAPlantedFault(t *testing.T) {
	imports := func(dir string, imps ...string) func(tree) {
		return func(t tree) { t.packages[dir].imports = append(t.packages[dir].imports, imps...) }
	}
	testImports := func(dir string, imps ...string) func(tree) {
		return func(t tree) { t.packages[dir].testImports = append(t.packages[dir].testImports, imps...) }
	}
	text := func(file string, lines ...string) func(tree) {
		return func(t tree) { t.text[file] = lines }
	}
	remove := func(dir string) func(tree) { return func(t tree) { delete(t.packages, dir) } }

	for _, tt := range []struct {
		name  string
		plant func(tree)
		rule  string
		says  string
	}{
		{"nothing", func(tree) {}, "", ""},
		{"relay imports sframe", imports("cmd/relay", "crypto/sframe"), "the relay is blind",
			"cmd/relay imports crypto/sframe"},
		{"relay imports pairing", imports("cmd/relay", "crypto/pairing"), "the relay is blind",
			"cmd/relay imports crypto/pairing"},
		{"relay imports session", imports("cmd/relay", "session"), "the relay is blind", "cmd/relay imports session"},
		{"relay reaches envelope", imports("cmd/internal/obs", "crypto/envelope"), "the relay is blind",
			"cmd/relay imports cmd/internal/obs imports crypto/envelope"},
		{"relay test opens", testImports("cmd/relay", "crypto/envelope"), "the relay is blind",
			"tests of cmd/relay import crypto/envelope"},
		{"no relay", remove("cmd/relay"), "the relay is blind", "cmd/relay does not exist"},
		{"no relay to embed", remove("relay"), "the relay is blind", "package relay does not exist"},
		{"embedded relay imports envelope", imports("relay", "crypto/envelope"), "the relay is blind",
			"relay imports crypto/envelope"},
		{"sframe renamed", remove("crypto/pairing"), "the relay is blind", "crypto/pairing does not exist"},
		{"a build without sealing", func(t tree) {
			t.builds["crypto/envelope/open_off.go"] = "//go:build unsealed"
		}, "sealing cannot be built away", `tag "unsealed"`},
		{"a build without sealing, negated", func(t tree) {
			t.builds["session/x.go"] = "//go:build linux && !unsealed"
		}, "sealing cannot be built away", `tag "unsealed"`},
		{"a command that fails on purpose", imports("cmd/relay", "test/evilcloud"), "rigs serve tests",
			"cmd/relay imports the test rig test/evilcloud"},
		{"a rig in the product", imports("session", "test/natlab"), "rigs serve tests",
			"session imports the test rig test/natlab"},
		{"a rig in a foundation", imports("turn", "test/natlab"), "rigs serve tests",
			"turn imports the test rig test/natlab"},
		{"a rig in tests", testImports("turn", "test/natlab"), "", ""},
		{"a command's inside imported", imports("camera", "cmd/internal/obs"), "nothing imports a command",
			"camera imports the command cmd/internal/obs"},
		{"signaling reads media", imports("signaling", "media"), "signaling carries opaque bytes",
			"signaling imports media"},
		{"server links turn", imports("signaling/server", "turn"), "signaling carries opaque bytes",
			"signaling/server imports turn"},
		{"no server", remove("signaling/server"), "signaling carries opaque bytes", "signaling/server does not exist"},
		{"p2p opens", imports("p2p", "crypto/envelope"), "the way without the cloud is blind",
			"p2p imports crypto/envelope"},
		{"p2p reaches signaling", imports("p2p", "signaling"), "the way without the cloud is blind",
			"p2p imports signaling"},
		{"bulk opens", imports("bulk", "crypto/sframe"), "bulk knows no session", "bulk imports crypto/sframe"},
		{"bulk finds a path", imports("bulk", "session"), "bulk knows no session", "bulk imports session"},
		{"a camera with a database", imports("camera", "signaling/mail/jetstream"),
			"a camera has no database", "camera imports signaling/mail/jetstream"},
		{"no database", remove("signaling/mail/jetstream"), "a camera has no database",
			"package signaling/mail/jetstream does not exist"},
		{"no bulk", remove("bulk"), "bulk knows no session", "package bulk does not exist"},
		{"no p2p", remove("p2p"), "the way without the cloud is blind", "package p2p does not exist"},
		{"command imported", imports("test/e2e", "cmd/camera"), "nothing imports a command",
			"imports the command cmd/camera"},
		{"command imported by a test", testImports("test/e2e", "cmd/viewer"), "nothing imports a command",
			"imports the command cmd/viewer"},
		{"camera imports viewer", imports("camera", "viewer"), "camera and viewer stay apart", "camera imports viewer"},
		{"viewer imports camera", imports("viewer/mobile", "camera"), "camera and viewer stay apart",
			"viewer/mobile imports camera"},
		{"viewer test imports camera", testImports("viewer", "camera"), "camera and viewer stay apart",
			"tests of viewer import camera"},
		{"identity imports sibling", imports("crypto/identity", "signaling"), "foundations import no sibling",
			"imports its sibling signaling"},
		{"media imports sibling", imports("media", "crypto/identity"), "foundations import no sibling",
			"media imports its sibling"},
		{"turn test imports sibling", testImports("turn", "crypto/identity"), "foundations import no sibling",
			"turn imports its sibling"},
		{"nat imports sibling", imports("nat", "signaling"), "foundations import no sibling",
			"nat imports its sibling"},
		{"no nat", remove("nat"), "foundations import no sibling", "nat does not exist"},
		{"labels import sibling", imports("crypto/label", "crypto/identity"), "foundations import no sibling",
			"crypto/label imports its sibling"},
		{"limits import sibling", imports("netlimit", "signaling"), "foundations import no sibling",
			"netlimit imports its sibling"},
		{"limits import labels", imports("netlimit", "crypto/label"), "foundations import no sibling",
			"netlimit imports its sibling"},
		{"limits test imports sibling", testImports("netlimit", "turn"), "foundations import no sibling",
			"netlimit imports its sibling"},
		{"no limits", remove("netlimit"), "foundations import no sibling", "netlimit does not exist"},
		{"words import sibling", imports("crypto/words", "crypto/pairing"), "foundations import no sibling",
			"crypto/words imports its sibling crypto/pairing"},
		{"printable imports sibling", imports("printable", "session"), "foundations import no sibling",
			"printable imports its sibling session"},
		{"relay URLs import sibling", imports("relayurl", "signaling"), "foundations import no sibling",
			"relayurl imports its sibling signaling"},
		{"no relay URLs", remove("relayurl"), "foundations import no sibling", "relayurl does not exist"},
		{"clock imports sibling", imports("clock", "media"), "foundations import no sibling",
			"clock imports its sibling media"},
		{"redact imports sibling", imports("redact", "session"), "foundations import no sibling",
			"redact imports its sibling"},
		{"no redact", remove("redact"), "foundations import no sibling", "redact does not exist"},
		{"no media", remove("media"), "foundations import no sibling", "media does not exist"},
		{"a session's package imports session", imports("session/path", "session"),
			"a session's packages keep to their own", "session/path imports session"},
		{"handshake imports a peer connection", imports("session/handshake", "github.com/pion/webrtc/v4"),
			"a session's packages keep to their own", "session/handshake imports github.com/pion/webrtc/v4"},
		{"congestion control opens", imports("session/congestion", "crypto/sframe"),
			"a session's packages keep to their own", "session/congestion imports crypto/sframe"},
		{"the TURN client seals", imports("session/turnclient", "session/handshake"),
			"a session's packages keep to their own", "session/turnclient imports session/handshake"},
		{"frames are sent over sockets", imports("session/stream", "session/turnclient"),
			"a session's packages keep to their own", "session/stream imports session/turnclient"},
		{"a session's package nobody knows", func(t tree) {
			t.packages["session/other"] = &pkg{
				name:     "other",
				comments: []string{"doc.go"},
				inside:   true,
				imports:  []string{"clock"},
			}
		}, "a session's packages keep to their own", "session/other is not among"},
		{"no handshake", remove("session/handshake"), "a session's packages keep to their own", "session/handshake " +
			"does not exist"},
		{"turn vendor", imports("camera", "github.com/pion/turn/v4"), "a vendor is imported in one place",
			"belongs in turn"},
		{"webrtc vendor", imports("viewer", "github.com/pion/webrtc/v4/pkg/media"), "a vendor is imported in one place",
			"belongs in session"},
		{"rtp vendor", imports("camera", "github.com/pion/rtp"), "a vendor is imported in one place",
			"belongs in session or media"},
		{"sdp vendor", imports("camera", "github.com/pion/sdp/v3"), "a vendor is imported in one place",
			"belongs in session or media"},
		{"libp2p vendor", imports("session", "github.com/libp2p/go-libp2p"), "a vendor is imported in one place",
			"belongs in p2p or test/dcutr"},
		{"multiaddr vendor", imports("viewer", "github.com/multiformats/go-multiaddr"),
			"a vendor is imported in one place", "belongs in p2p"},
		{"quic vendor", imports("session", "github.com/quic-go/quic-go"), "a vendor is imported in one place",
			"belongs in bulk"},
		{"anet vendor", imports("session", "github.com/wlynxg/anet"), "a vendor is imported in one place",
			"belongs in nat"},
		{"nats vendor", imports("signaling/server", "github.com/nats-io/nats.go"), "a vendor is imported in one place",
			"belongs in signaling/cluster or signaling/mail/jetstream"},
		{"websocket vendor", imports("camera", "github.com/coder/websocket"), "a vendor is imported in one place",
			"belongs in signaling"},
		{"prometheus vendor", imports("turn", "github.com/prometheus/client_golang/prometheus"),
			"a vendor is imported in one place", "belongs in cmd/internal/obs"},
		{"vendor in a test", testImports("camera", "github.com/pion/webrtc/v4"), "a vendor is imported in one place",
			"belongs in session"},
		{"empty package name", func(t tree) {
			t.packages["media"].name = "util"
		}, "names say something", "package util in media"},
		{"empty folder name", func(t tree) {
			t.packages["session/common"] = &pkg{name: "x", comments: []string{"doc.go"}, inside: true}
		}, "names say something", "session/common"},
		{"empty file name", func(t tree) {
			t.text["session/helpers_test.go"] = nil
		}, "names say something", "session/helpers_test.go"},
		{"no comment", func(t tree) {
			t.packages["media"].comments = nil
		}, "a package has one comment", "has 0 package comments"},
		{"an inside that keeps quiet", func(t tree) {
			t.packages["session"].inside = false
		}, "what is not SDK says so", "package session does not say that it is not part of the SDK"},
		{"an SDK that denies it", func(t tree) {
			t.packages["camera"].inside = true
		}, "what is not SDK says so", "package camera is part of the SDK"},
		{"two comments", func(t tree) {
			t.packages["media"].comments = []string{"a.go", "b.go"}
		}, "a package has one comment", "has 2 package comments"},
		{"fuzz target without a corpus", func(t tree) {
			t.packages["media"].targets = []string{"FuzzSPS"}
		}, "a fuzz target has a corpus", "FuzzSPS of media has no corpus"},
		{"corpus without a fuzz target", func(t tree) {
			t.packages["media"].corpora = []string{"FuzzSPS"}
		}, "a fuzz target has a corpus", "media/testdata/fuzz/FuzzSPS is the corpus of no"},
		{"rapid in a command", imports("cmd/viewer", "pgregory.net/rapid"), "a vendor is imported in one place",
			"belongs in test/model"},
		{"long file", text("web/src/page.ts", slices.Repeat([]string{"x"}, 701)...), "a file is one noun",
			"page.ts has 701 lines"},
		{"a module that is replaced", text("go.mod", "module x", "", "replace y => ./y"), "go install works",
			"go.mod:3 has the word replace"},
		{"modules that are excluded", text("go.mod", "exclude ("), "go install works", "go.mod:1 has the word exclude"},
		{"a workspace with another Go", text("go.work", "go 1.25"), "go install works",
			`lacks go.mod's line "go 1.26"`},
		{"no module", func(t tree) { delete(t.text, "go.mod") }, "go install works", "go.mod does not exist"},
		{"long README", text("README.md", slices.Repeat([]string{"x"}, 101)...), "a file is one noun",
			"README.md has 101 lines, more than 100"},
		{"long document", text("doc/x.md", slices.Repeat([]string{"x"}, 701)...), "", ""},
		{"a bubble that the race detector crashes in", text("turn/x_test.go", "\tsynctest"+".Test(t, f)"),
			"bubbles survive the race detector", "turn/x_test.go:1 starts a bubble"},
		{"wide code", text("media/nal.go", "", strings.Repeat("x", 121)), "lines fit",
			"media/nal.go:2 has 121 columns"},
		{"wide code, by tabs", text("media/nal.go", "\t\t"+strings.Repeat("x", 113)), "lines fit", "has 121 columns"},
		{"code as wide as may be", text("web/src/page.ts", strings.Repeat("é", 120)), "", ""},
		{"wide prose", text("doc/x.md", strings.Repeat("x", 101)), "lines fit", "doc/x.md:1 has 101 columns"},
		{"prose with a long link", text("doc/x.md", "[x](https://"+strings.Repeat("x", 101)+")"), "", ""},
		{"wide code in a document", text("doc/x.md", "```", strings.Repeat("x", 101), "```"), "", ""},
		{"wide prose below code", text("doc/x.md", "```", "```", strings.Repeat("x", 101)), "lines fit", "doc/x.md:3"},
		{"a cell that is a page", text("doc/x.md", "|"+strings.Repeat("x", 401)+"|"), "lines fit",
			"has a cell of 401 characters"},
		{"a wide table", text("doc/x.md", strings.Repeat("|"+strings.Repeat("x", 400), 3)+"|"), "", ""},
		{"no paragraph", func(t tree) {
			t.bodies["media/nal.go"] = []body{{"split", 5, slices.Repeat([]string{"x()"}, 20)}}
		}, "functions have paragraphs", "media/nal.go: split has 20 lines and no blank one"},
		{"a paragraph", func(t tree) {
			t.bodies["media/nal.go"] = []body{{"split", 5, append(slices.Repeat([]string{"x()"}, 20), "")}}
		}, "", ""},
		{"short, or a table", func(t tree) {
			t.bodies["media/nal.go"] = []body{
				{"short", 19, slices.Repeat([]string{"x()"}, 19)},
				{"table", 4, slices.Repeat([]string{"x()"}, 99)},
			}
		}, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			planted := sound()
			tt.plant(planted)
			for _, r := range rules {
				found := strings.Join(r.check(planted), "\n")
				switch {
				case r.name == tt.rule && !strings.Contains(found, tt.says):
					t.Errorf("%s: said %q, want %q", r.name, found, tt.says)
				case r.name != tt.rule && found != "":
					t.Errorf("%s: said %q, want nothing", r.name, found)
				}
			}
		})
	}
}

// sound returns a small tree that breaks no rule.
func sound() tree {
	t := tree{
		packages: map[string]*pkg{},
		text: map[string][]string{
			"go.mod":       {"module " + module, "go 1.26"},
			"go.work":      {"go 1.26"},
			"media/doc.go": slices.Repeat([]string{"x"}, 700),
		},
		bodies: map[string][]body{},
		builds: map[string]string{
			"media/process_linux.go":   "//go:build linux",
			"test/mixup/app_sealed.go": "//go:build !unsealed",
		},
	}
	for dir, imps := range map[string][]string{
		"crypto/label":    nil,
		"netlimit":        nil,
		"nat":             nil,
		"clock":           nil,
		"redact":          nil,
		"crypto/identity": {"crypto/label"},
		"crypto/sframe":   nil,
		"crypto/words":    nil,
		"crypto/pairing":  {"crypto/identity"},
		"crypto/envelope": {"crypto/identity"},
		"printable":       nil,
		"relayurl":        nil,
		"media":           {"clock", "github.com/pion/rtp"},
		"turn":            {"github.com/pion/turn/v4", "netlimit"},
		"session":         {"crypto/envelope", "session/handshake", "session/stream", "github.com/pion/webrtc/v4"},

		"session/congestion": {"github.com/pion/rtcp"},
		"session/handshake":  {"crypto/envelope", "crypto/sframe", "media"},
		"session/icepath":    {"session/path", "session/turnclient", "github.com/pion/ice/v4"},
		"session/path":       {"session/handshake", "session/turnclient", "github.com/pion/webrtc/v4"},
		"session/stream":     {"session/congestion", "session/handshake", "github.com/pion/webrtc/v4/pkg/media"},
		"session/turnclient": {"nat", "github.com/pion/stun/v3"},

		"signaling":        {"crypto/identity", "github.com/coder/websocket"},
		"signaling/server": {"signaling"},
		"p2p":              {"github.com/libp2p/go-libp2p/core/peer", "github.com/quic-go/quic-go"},
		"bulk":             {"github.com/quic-go/quic-go", "crypto/label"},

		"signaling/cluster":        {"github.com/nats-io/nats.go"},
		"signaling/mail/jetstream": {"github.com/nats-io/nats.go"},
		"cmd/internal/obs":         {"github.com/prometheus/client_golang/prometheus"},
		"test/e2e":                 {"camera", "viewer"},
		"test/dcutr":               {"github.com/libp2p/go-libp2p", "github.com/multiformats/go-multiaddr"},
		"camera":                   {"session", "media", "signaling", "crypto/pairing"},
		"viewer":                   {"session", "signaling", "crypto/pairing"},
		"viewer/mobile":            {"viewer"},
		"relay":                    {"signaling/server", "turn"},
		"cmd/relay":                {"relay", "cmd/internal/obs"},
		"cmd/camera":               {"camera", "cmd/internal/obs"},
		"cmd/viewer":               {"viewer", "cmd/internal/obs"},
	} {
		t.packages[dir] = &pkg{
			name:     dir,
			imports:  imps,
			comments: []string{"doc.go"},
			inside:   !slices.Contains(sdk, dir),
		}
	}

	return t
}
