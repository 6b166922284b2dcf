package archtest

import (
	"fmt"
	"go/build/constraint"
	"path"
	"slices"
	"strings"
)

// opens are the packages that can open what a device sealed.
var opens = []string{"crypto/sframe", "crypto/envelope", "crypto/pairing", "session"}

// rules are all the rules. Each returns a sentence for everything that breaks it.
var rules = []struct {
	name  string
	check func(tree) []string
}{
	{"the relay is blind", relayIsBlind},
	{"signaling carries opaque bytes", signalingIsOpaque},
	{"a camera has no database", camerasHaveNoDatabase},
	{"the way without the cloud is blind", p2pIsBlind},
	{"bulk knows no session", bulkIsApart},
	{"sealing cannot be built away", sealingStays},
	{"nothing imports a command", commandsAreLeaves},
	{"rigs serve tests", rigsServeTests},
	{"bubbles survive the race detector", bubblesSurvive},
	{"camera and viewer stay apart", cameraAndViewerApart},
	{"foundations import no sibling", foundationsStandAlone},
	{"a session's packages keep to their own", sessionPackagesApart},
	{"a vendor is imported in one place", vendorsInOnePlace},
	{"names say something", namesSaySomething},
	{"a package has one comment", oneComment},
	{"what is not SDK says so", insideSaysSo},
	{"a file is one noun", filesAreShort},
	{"lines fit", linesFit},
	{"functions have paragraphs", functionsHaveParagraphs},
	{"a fuzz target has a corpus", fuzzingHasCorpora},
	{"go install works", nothingReplaced},
}

// relayIsBlind is promise 2: the operator's server does not even link the code that opens things. Without the server or
// that code, the rule proves nothing and fails.
func relayIsBlind(t tree) []string {
	out := missing(t, append([]string{"cmd/relay", "relay"}, opens...)...)
	out = append(out, reaches(t, "relay", opens...)...)
	return append(out, reaches(t, "cmd/relay", opens...)...)
}

// signalingIsOpaque: the wire messages, client, server and bus never look inside a body; session seals and opens. The
// server asks for TURN credentials through an interface of its own.
func signalingIsOpaque(t tree) []string {
	return append(missing(t, "signaling", "signaling/server"),
		reaches(t, "signaling", append([]string{"turn", "media", "camera", "viewer"}, opens...)...)...)
}

// camerasHaveNoDatabase: a camera has a signaling server of its own, which must not bring the relay's database into
// it: that is larger than the whole camera.
func camerasHaveNoDatabase(t tree) []string {
	database := "signaling/mail/jetstream"
	out := append(missing(t, database), reaches(t, "camera", database)...)
	return append(out, reaches(t, "viewer", database)...)
}

// p2pIsBlind: what a stranger on the LAN or a circuit relay can talk to knows nothing of what it carries, so that a
// fault in its large vendor opens nothing.
func p2pIsBlind(t tree) []string {
	others := []string{"signaling", "turn", "relay", "media", "camera", "viewer"}
	return append(missing(t, "p2p"), reaches(t, "p2p", append(others, opens...)...)...)
}

// bulkIsApart: what brings large things over QUIC knows neither whose they are nor how its path was found, so that a
// fault in its large vendor opens nothing.
func bulkIsApart(t tree) []string {
	others := []string{"signaling", "turn", "relay", "media", "p2p", "camera", "viewer"}
	return append(missing(t, "bulk"), reaches(t, "bulk", append(others, opens...)...)...)
}

// sealingStays: what a file of the product does may depend on the platform that it is built for, and on nothing that
// somebody could choose when building it. Only what tests has such a switch: the mix-up test for its control, the
// bubbles for the race detector, and files of tests, which are part of no build.
func sealingStays(t tree) (out []string) {
	for file, build := range t.builds {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		x, err := constraint.Parse(build)
		if err != nil {
			out = append(out, fmt.Sprintf("%s: %v", file, err))
			continue
		}

		x.Eval(func(tag string) bool {
			if !slices.Contains([]string{"linux", "unix", "windows", "darwin", "android"}, tag) &&
				!within(file, "test/mixup") && !within(file, "test/bubble") {
				out = append(out, fmt.Sprintf("%s is built only with the tag %q", file, tag))
			}
			return true
		})
	}
	return out
}

// commandsAreLeaves: only commands use what they share in cmd/internal, and nobody imports a command.
func commandsAreLeaves(t tree) (out []string) {
	return eachImport(t, func(dir, imp string, _ bool) string {
		shared := within(imp, "cmd/internal") && within(dir, "cmd")
		if !within(imp, "cmd") || within(dir, imp) || shared {
			return ""
		}
		return fmt.Sprintf("%s imports the command %s", dir, imp)
	})
}

// rigsServeTests: test/ holds what tests the product, and is no part of it. Outside of test/, only tests import it.
func rigsServeTests(t tree) (out []string) {
	return eachImport(t, func(dir, imp string, test bool) string {
		if !within(imp, "test") || within(dir, "test") || test {
			return ""
		}
		return fmt.Sprintf("%s imports the test rig %s", dir, imp)
	})
}

// bubblesSurvive: tests start bubbles by way of the one package that works around the race detector's fault.
func bubblesSurvive(t tree) (out []string) {
	for file, lines := range t.text {
		for i, line := range lines {
			if strings.Contains(line, "synctest"+".Test(") && !within(file, "test/bubble") {
				out = append(out, fmt.Sprintf("%s:%d starts a bubble without test/bubble", file, i+1))
			}
		}
	}
	return out
}

func cameraAndViewerApart(t tree) []string {
	out := missing(t, "camera", "viewer")
	out = append(out, reaches(t, "camera", "viewer")...)
	return append(out, reaches(t, "viewer", "camera")...)
}

// leaves are what even foundations may import, since they import nothing of this module themselves: the one place of
// all labels, the limits of everything that faces the network, the clock that decides all ages, and the one way to
// remove secrets from a text.
var leaves = []string{"clock", "crypto/label", "netlimit", "redact"}

// foundationsStandAlone: foundations import nothing else of this module but the leaves, which follow the same rule and
// do not import each other.
func foundationsStandAlone(t tree) []string {
	foundations := append([]string{"crypto/identity", "crypto/sframe", "crypto/words", "media", "nat", "printable",
		"relayurl", "turn"}, leaves...)
	out := missing(t, foundations...)
	for _, f := range foundations {
		out = append(out, eachImport(t, func(dir, imp string, test bool) string {
			leaf := slices.Contains(leaves, imp) && !slices.Contains(leaves, f)
			rig := test && (within(imp, "test") || f == "nat" && imp == "turn") // turn answers what nat asks
			sibling := t.packages[imp] != nil && !within(imp, f) && !leaf && !rig
			if !within(dir, f) || !sibling {
				return ""
			}
			return fmt.Sprintf("%s imports its sibling %s", dir, imp)
		})...)
	}

	return out
}

// sessionPackages lists all that the packages below session may import, the standard library aside. None imports
// session; handshake and congestion, which decide what opens and when a packet leaves, know no network and no peer
// connection; and only handshake opens anything.
var sessionPackages = map[string][]string{
	"session/congestion": {"github.com/pion/rtcp"},
	"session/handshake": {
		"clock", "crypto/envelope", "crypto/identity", "crypto/label", "crypto/sframe", "media", "nat", "nat/punch",
		"printable", "relayurl", "signaling", "signaling/region", "golang.org/x/time",
	},
	"session/icepath": {
		"session/path", "session/turnclient", "github.com/pion/ice", "github.com/pion/logging", "github.com/pion/stun",
		"github.com/pion/webrtc",
	},
	"session/path": {"clock", "nat", "session/handshake", "session/turnclient", "github.com/pion/webrtc"},
	"session/stream": {
		"clock", "media", "session/congestion", "session/handshake",
		"github.com/pion/rtcp", "github.com/pion/rtp", "github.com/pion/transport", "github.com/pion/webrtc",
	},
	"session/turnclient": {"nat", "nat/punch", "github.com/pion/stun", "github.com/pion/transport"},
}

// sessionPackagesApart: what a session's packages import is listed one by one. Their tests may import more.
func sessionPackagesApart(t tree) (out []string) {
	for dir := range sessionPackages {
		out = append(out, missing(t, dir)...)
	}
	return append(out, eachImport(t, func(dir, imp string, test bool) string {
		if !within(dir, "session") || dir == "session" || test {
			return ""
		}
		allowed, known := sessionPackages[dir]
		if !known {
			return fmt.Sprintf("%s is not among the packages of a session", dir)
		}
		listed := slices.ContainsFunc(allowed, func(a string) bool {
			return imp == a || strings.Contains(a, ".") && within(imp, a)
		})
		if listed {
			return ""
		}
		return fmt.Sprintf("%s imports %s", dir, imp)
	})...)
}

// vendors says where a vendor's modules may be imported, whatever their major version.
var vendors = []struct {
	module string
	homes  []string
}{
	{"github.com/pion/turn", []string{"turn", "test/turnbench"}},
	{"github.com/pion/webrtc", []string{"session", "test/bulkends"}}, // the rig has a stock data channel beside bulk
	{"github.com/pion/rtp", []string{"session", "media"}},
	{"github.com/pion/sdp", []string{"session", "media"}},
	{"github.com/libp2p", []string{"p2p", "test/dcutr"}}, // the rig is a stock host, to measure it beside ICE
	{"github.com/multiformats", []string{"p2p", "test/dcutr"}},
	// test/e2e has strangers that flood a camera
	{"github.com/quic-go", []string{"bulk", "p2p", "signaling/webtransport", "test/e2e"}},
	{"github.com/nats-io", []string{"signaling/cluster", "signaling/mail/jetstream"}},
	{"github.com/coder/websocket", []string{
		"signaling", "test/signalends", "test/signalingproxy", "test/signalingtest",
	}},
	{"github.com/cilium/ebpf", []string{"turn/xdp", "test/natlab"}},
	{"github.com/prometheus", []string{"cmd/internal/obs"}},
	{"github.com/BurntSushi/toml", []string{"cmd/relay"}},
	{"pgregory.net/rapid", []string{"test/model", "session", "signaling", "netlimit"}}, // their tests
	{"github.com/huin/goupnp", []string{"nat/portmap"}},
	{"github.com/jackpal/go-nat-pmp", []string{"nat/portmap"}},
	{"github.com/wlynxg/anet", []string{"nat"}},
}

func vendorsInOnePlace(t tree) []string {
	return eachImport(t, func(dir, imp string, _ bool) string {
		for _, v := range vendors {
			if within(imp, v.module) && !withinAny(dir, v.homes...) {
				return fmt.Sprintf("%s imports %s, which belongs in %s", dir, imp, strings.Join(v.homes, " or "))
			}
		}
		return ""
	})
}

func namesSaySomething(t tree) (out []string) {
	empty := []string{"util", "utils", "common", "helper", "helpers", "manager", "base", "misc"}
	for dir, p := range t.packages {
		if slices.Contains(empty, p.name) || slices.Contains(empty, path.Base(dir)) {
			out = append(out, fmt.Sprintf("package %s in %s: the name says nothing", p.name, dir))
		}
	}

	for file := range t.text {
		name, _, _ := strings.Cut(path.Base(file), ".")
		if slices.Contains(empty, strings.TrimSuffix(name, "_test")) {
			out = append(out, fmt.Sprintf("file %s: the name says nothing", file))
		}
	}

	return out
}

func oneComment(t tree) (out []string) {
	for dir, p := range t.packages {
		if len(p.comments) != 1 {
			out = append(out, fmt.Sprintf("package %s has %d package comments %v, want one", dir, len(p.comments),
				p.comments))
		}
	}
	return out
}

// sdk are the packages that other programs may rely on (doc/sdk.md).
var sdk = []string{"camera", "media", "relay", "viewer"}

// insideSaysSo: whoever embeds an end sees in a package's comment whether its API is meant for them. Nobody else can
// import a command, and a test rig is no package to rely on.
func insideSaysSo(t tree) (out []string) {
	for dir, p := range t.packages {
		if withinAny(dir, "cmd", "test") {
			continue
		}
		switch isSDK := slices.Contains(sdk, dir); {
		case isSDK && p.inside:
			out = append(out, fmt.Sprintf("package %s is part of the SDK, and says that it is not", dir))
		case !isSDK && !p.inside:
			out = append(out, fmt.Sprintf("package %s does not say that it is %s", dir, notSDK))
		}
	}
	return out
}

func filesAreShort(t tree) (out []string) {
	const limit, readme = 700, 100
	if n := len(t.text["README.md"]); n > readme {
		out = append(out, fmt.Sprintf("README.md has %d lines, more than %d: move something to doc/", n, readme))
	}

	for file, lines := range t.text {
		if len(lines) > limit && path.Ext(file) != ".md" {
			out = append(out, fmt.Sprintf("%s has %d lines; past %d it is two files", file, len(lines), limit))
		}
	}
	return out
}

// fuzzingHasCorpora: every go test tries again what fuzzing has found worth keeping, and nothing is kept that no target
// tries.
func fuzzingHasCorpora(t tree) (out []string) {
	for dir, p := range t.packages {
		for _, target := range p.targets {
			if !slices.Contains(p.corpora, target) {
				out = append(out, fmt.Sprintf("%s of %s has no corpus: commit some files in %s/testdata/fuzz/%s "+
					"(CONTRIBUTING.md says how)", target, dir, dir, target))
			}
		}
		for _, corpus := range p.corpora {
			if !slices.Contains(p.targets, corpus) {
				out = append(out, fmt.Sprintf("%s/testdata/fuzz/%s is the corpus of no fuzz target", dir, corpus))
			}
		}
	}
	return out
}

// missing names the packages of a rule that the tree does not have: a rule about nothing would always pass.
func missing(t tree, dirs ...string) (out []string) {
	for _, dir := range dirs {
		if t.packages[dir] == nil {
			out = append(out, fmt.Sprintf("package %s does not exist, so the rule proves nothing", dir))
		}
	}
	return out
}

// reaches names every chain of imports from the packages within from to one within targets, and every test of theirs
// that imports one directly.
func reaches(t tree, from string, targets ...string) (out []string) {
	bad := func(p string) bool { return withinAny(p, targets...) }
	for dir, p := range t.packages {
		if !within(dir, from) {
			continue
		}
		if chain := t.chain(dir, bad); chain != nil {
			out = append(out, strings.Join(chain, " imports "))
		}

		for _, imp := range p.testImports {
			if bad(imp) {
				out = append(out, fmt.Sprintf("the tests of %s import %s", dir, imp))
			}
		}
	}

	return out
}

// eachImport collects what look returns for every import; test reports whether only tests import it.
func eachImport(t tree, look func(dir, imp string, test bool) string) (out []string) {
	for dir, p := range t.packages {
		for _, imp := range p.imports {
			if s := look(dir, imp, false); s != "" {
				out = append(out, s)
			}
		}
		for _, imp := range p.testImports {
			if s := look(dir, imp, true); s != "" {
				out = append(out, s)
			}
		}
	}
	return out
}

// nothingReplaced: go install refuses the path of a command whose go.mod replaces or excludes a module. go.work may
// name another one, and must name the same Go.
func nothingReplaced(t tree) (out []string) {
	lines := t.text["go.mod"]
	if lines == nil {
		return []string{"go.mod does not exist"}
	}

	for i, line := range lines {
		word, _, _ := strings.Cut(line, " ")
		switch word {
		case "replace", "exclude":
			out = append(out, fmt.Sprintf("go.mod:%d has the word %s: use the module in go.work instead", i+1, word))
		case "go", "toolchain":
			if !slices.Contains(t.text["go.work"], line) {
				out = append(out, fmt.Sprintf("go.work lacks go.mod's line %q", line))
			}
		}
	}

	return out
}
