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
	{"sealing cannot be built away", sealingStays},
	{"nothing imports a command", commandsAreLeaves},
	{"camera and viewer stay apart", cameraAndViewerApart},
	{"foundations import no sibling", foundationsStandAlone},
	{"a vendor is imported in one place", vendorsInOnePlace},
	{"exceptions are in use", exceptionsInUse},
	{"names say something", namesSaySomething},
	{"a package has one comment", oneComment},
	{"a file is one noun", filesAreShort},
	{"a fuzz target has a corpus", fuzzingHasCorpora},
}

// relayIsBlind is promise 2: the operator's server does not even link the code that opens things. A tree without the
// server, or without the code, proves nothing and fails.
func relayIsBlind(t tree) []string {
	out := missing(t, append([]string{"cmd/relay"}, opens...)...)
	return append(out, reaches(t, "cmd/relay", opens...)...)
}

// signalingIsOpaque: the wire messages, client, server and bus never see inside a body; session seals and opens. The
// server asks for TURN credentials through an interface of its own.
func signalingIsOpaque(t tree) []string {
	return append(missing(t, "signaling", "signaling/server"),
		reaches(t, "signaling", append([]string{"turn", "media", "camera", "viewer"}, opens...)...)...)
}

// controls are the programs that do wrong on purpose, for tests: no command may contain them.
var controls = []string{"internal/evilcloud", "internal/mixup"}

// sealingStays: what a file of the product does depends on the platform it is built for and on nothing that somebody could say when
// building it. Only the mix-up test has such a switch, for its control, and no command reaches that; and tests, whose files are in no build.
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
			if !slices.Contains([]string{"linux", "unix", "windows", "darwin"}, tag) && !withinAny(file, controls...) {
				out = append(out, fmt.Sprintf("%s is built only with the tag %q", file, tag))
			}
			return true
		})
	}
	for dir := range t.packages {
		if within(dir, "cmd") {
			out = append(out, reaches(t, dir, controls...)...)
		}
	}
	return out
}

func commandsAreLeaves(t tree) (out []string) {
	return eachImport(t, func(dir, imp string, _ bool) string {
		if !within(imp, "cmd") || within(dir, imp) {
			return ""
		}
		return fmt.Sprintf("%s imports the command %s", dir, imp)
	})
}

func cameraAndViewerApart(t tree) []string {
	out := missing(t, "camera", "viewer")
	out = append(out, reaches(t, "camera", "viewer")...)
	return append(out, reaches(t, "viewer", "camera")...)
}

// foundationsStandAlone: what others build on imports nothing else of this module, but for crypto/label, the one place
// of all labels, which is held to the same rule.
func foundationsStandAlone(t tree) []string {
	const labels = "crypto/label"
	foundations := []string{labels, "crypto/identity", "crypto/sframe", "media", "turn"}
	out := missing(t, foundations...)
	for _, f := range foundations {
		out = append(out, eachImport(t, func(dir, imp string, test bool) string {
			sibling := t.packages[imp] != nil && !within(imp, f) && imp != labels
			if !within(dir, f) || !sibling || excepted(dir, imp, test) {
				return ""
			}
			return fmt.Sprintf("%s imports its sibling %s", dir, imp)
		})...)
	}
	return out
}

// vendors says where a vendor's modules may be imported, whatever their major version.
var vendors = []struct {
	module string
	homes  []string
}{
	{"github.com/pion/turn", []string{"turn"}},
	{"github.com/pion/webrtc", []string{"session"}},
	{"github.com/pion/rtp", []string{"session", "media"}},
	{"github.com/libp2p", []string{"p2p"}},
	{"github.com/quic-go", []string{"fanout", "signaling/server"}}, // the HTTP/3 endpoint is signaling/server's
	{"github.com/nats-io", []string{"signaling/bus"}},
	{"github.com/coder/websocket", []string{"signaling"}},
	{"github.com/cilium/ebpf", []string{"turn/xdp", "internal/natlab"}},
	{"github.com/prometheus", []string{"internal/obs"}},
	{"pgregory.net/rapid", []string{"internal/model", "session", "signaling"}}, // their tests
	{"github.com/huin/goupnp", []string{"portmap"}},
	{"github.com/jackpal/go-nat-pmp", []string{"portmap"}},
}

// exceptions are the imports that tests, and only tests, may make against a rule, each with its reason.
var exceptions = map[[2]string]string{
	{"turn/xdp", "internal/natlab"}: "the program is attached to a cable",
	{"turn", "internal/natlab"}:     "what leaves the server's machine is watched on a wire",
}

func excepted(dir, imp string, test bool) bool {
	_, ok := exceptions[[2]string{dir, imp}]
	return ok && test
}

func vendorsInOnePlace(t tree) []string {
	return eachImport(t, func(dir, imp string, test bool) string {
		for _, v := range vendors {
			if within(imp, v.module) && !withinAny(dir, v.homes...) && !excepted(dir, imp, test) {
				return fmt.Sprintf("%s imports %s, which belongs in %s", dir, imp, strings.Join(v.homes, " or "))
			}
		}
		return ""
	})
}

// exceptionsInUse keeps the list of exceptions from outliving its reasons.
func exceptionsInUse(t tree) (out []string) {
	for e := range exceptions {
		if p := t.packages[e[0]]; p == nil || !slices.Contains(p.testImports, e[1]) {
			out = append(out, fmt.Sprintf("no test of %s imports %s any more: take the exception out", e[0], e[1]))
		}
	}
	return out
}

func namesSaySomething(t tree) (out []string) {
	empty := []string{"util", "utils", "common", "helper", "helpers", "manager", "base", "misc"}
	for dir, p := range t.packages {
		if slices.Contains(empty, p.name) || slices.Contains(empty, path.Base(dir)) {
			out = append(out, fmt.Sprintf("package %s in %s: the name says nothing", p.name, dir))
		}
	}
	for file := range t.lines {
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
			out = append(out, fmt.Sprintf("package %s has %d package comments %v, want one", dir, len(p.comments), p.comments))
		}
	}
	return out
}

func filesAreShort(t tree) (out []string) {
	const limit = 700
	for file, lines := range t.lines {
		if lines > limit {
			out = append(out, fmt.Sprintf("%s has %d lines; past %d it is two files", file, lines, limit))
		}
	}
	return out
}

// fuzzingHasCorpora: what fuzzing has found worth keeping is tried again by every go test, and nothing is kept that no target tries.
func fuzzingHasCorpora(t tree) (out []string) {
	for dir, p := range t.packages {
		for _, target := range p.targets {
			if !slices.Contains(p.corpora, target) {
				out = append(out, fmt.Sprintf("%s of %s has no corpus: commit some files in %s/testdata/fuzz/%s (CONTRIBUTING.md says how)", target, dir, dir, target))
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

// missing names the packages that a rule speaks of and the tree has not: a rule about nothing would pass for ever.
func missing(t tree, dirs ...string) (out []string) {
	for _, dir := range dirs {
		if t.packages[dir] == nil {
			out = append(out, fmt.Sprintf("package %s does not exist, so the rule proves nothing", dir))
		}
	}
	return out
}

// reaches names every chain of imports from the packages within from to one within targets, and every test of
// theirs that imports one directly.
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
			if bad(imp) && !excepted(dir, imp, true) {
				out = append(out, fmt.Sprintf("the tests of %s import %s", dir, imp))
			}
		}
	}
	return out
}

// eachImport collects what look says about every import, and whether only tests make it.
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
