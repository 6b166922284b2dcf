package doctor

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/nat"
	"github.com/peephole-cam/peephole/p2p"
	"github.com/peephole-cam/peephole/signaling/region"
)

func TestLinesOfTheSecondPort(t *testing.T) {
	of := func(port uint16, main, second bool) Finding {
		u := udpOf(true, "192.0.2.1:3478", main)
		u.servers = []server{{kind: "turn", host: "192.0.2.1", port: 3478}}
		if port != 0 {
			u.servers = append(u.servers, server{kind: "stun", host: "192.0.2.1", port: port})
		}

		if second {
			u.seconds["4"] = nat.Binding{}
		}
		return u.checkSecondPort()
	}
	for _, l := range []line{
		{"both", of(3479, true, true),
			"it answers, so devices can tell what NAT they are behind"},
		{"none", of(0, true, false),
			"there is none: free the UDP port after -turn's and restart the relay, " +
				"or devices cannot tell what NAT they are behind"},
		{"the same", of(3478, true, true),
			"it is the same as the main port: forward the next port too, and check -turn-public"},
		{"no UDP", of(3479, false, false), "no UDP reaches the relay at all"},
		{"silent", of(3479, true, false),
			"no answer: open the UDP port after -turn's in the firewall, " +
				"or devices cannot tell what NAT they are behind"},
	} {
		l.check(t)
		if l.Check != "second udp port" {
			t.Errorf("the check is called %q", l.Check)
		}
	}
}

func TestLinesOfTheCircuitRelay(t *testing.T) {
	reached := func(err error) Finding { return judgeCircuits(Finding{Check: "circuit relay"}, err) }
	for _, l := range []line{
		{"none", Operator{}.checkCircuits(t.Context()), "there is none, since -p2p is not given"},
		{"it answers", reached(nil), "it answers with the key that is in its address"},
		{"another key", reached(fmt.Errorf("reach circuit relay: %w", p2p.ErrOtherKey)),
			"it answers with another key than its key file's, so no camera accepts it: " +
				"restart the relay, or check -state"},
		{"silent", reached(context.DeadlineExceeded),
			"no answer: open the UDP port of -p2p in the firewall, and restart the relay if -p2p is new"},
	} {
		l.check(t)
		if l.Check != "circuit relay" {
			t.Errorf("the check is called %q", l.Check)
		}
	}
}

func TestLinesOfTheMap(t *testing.T) {
	now := time.Now().Truncate(time.Second)
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	signed := func(url string, left time.Duration) []byte {
		m := region.Map{Issued: now.Add(-90 * 24 * time.Hour), NotAfter: now.Add(left)}
		m.Regions = []region.Region{{Name: "a", URL: url, TURN: "relay.example:3478"}}
		wire, err := m.Sign(key)
		if err != nil {
			t.Fatal(err)
		}
		return wire
	}
	const url, day = "https://relay.example", 24 * time.Hour
	good := signed(url, 90*day)
	file := filepath.Join(t.TempDir(), "regions.map")
	if err := os.WriteFile(file, good, 0o600); err != nil {
		t.Fatal(err)
	}

	judged := func(file string, served []byte, err error) Finding {
		return Operator{Relay: Relay{URL: url}, Regions: file}.judgeRegions(served, err, now)
	}
	for _, l := range []line{
		{"none", judged("", nil, region.ErrNone), "it serves no map of regions, and a single relay needs none"},
		{"none, in spite of a file", judged(file, nil, region.ErrNone),
			"it serves no map of regions: restart it with -regions"},
		{"no answer", judged(file, nil, context.DeadlineExceeded),
			"its map of regions was not seen: do first what the line of https says"},
		{"of somebody else", judged("", []byte("<html>"), nil),
			"what is served as its map of regions is none: check the public URL, and any proxy in front of the relay"},
		{"another than the file's", judged(file, signed(url, 89*day), nil),
			"it serves a different map of regions than its file: reload it (kill -HUP), " +
				"and read in its log why it keeps another"},
		{"the file is gone", judged(file+"x", good, nil),
			"it serves a different map of regions than its file: reload it (kill -HUP), " +
				"and read in its log why it keeps another"},
		{"of other relays", judged("", signed("https://other.example", 90*day), nil),
			"the map of regions does not name the public URL, so no device chooses this relay: " +
				"add it to the map, or correct -public-url"},
		{"soon over", judged("", signed(url, 13*day), nil), "the map of regions expires in 13 days: " +
			"sign a new one with relay regions sign, and reload every relay (kill -HUP)"},
		{"over", judged("", signed(url, -2*day), nil), "the map of regions expired 2 days ago: " +
			"sign a new one with relay regions sign, or set this machine's clock if that is wrong"},
		{"good", judged(file, good, nil), "the map of regions names this relay, and is valid for 90 more days"},
	} {
		l.check(t)
		if l.Check != "regions" {
			t.Errorf("the check is called %q", l.Check)
		}
	}
}

func TestLinesOfTheMachine(t *testing.T) {
	dir := t.TempDir()
	secret := filepath.Join(dir, "operator.key")
	if err := os.WriteFile(secret, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	secrets := func(files ...string) Finding { return Operator{Secrets: files}.checkSecrets() }
	for _, l := range []line{
		{"no secrets", secrets(), "the relay keeps none in files"},
		{"open to others", secrets(secret),
			"others can read or change operator.key: run chmod go= on it, and ask who may have read it"},
		{"out of sight", secrets(filepath.Join(secret, "x")),
			"some files cannot be checked: run this as the relay's user"},
		{"its time is kept", judgeTimeService(true), "a time service keeps this machine's clock"},
		{"nobody knows", judgeTimeService(false), "this system does not say whether a time service keeps its clock: " +
			"make sure that one runs, since mailboxes change with the relay's day"},
		{"many files", judgeFiles(1<<20, true), "processes of this user may open enough files"},
		{"few files", judgeFiles(1024, true),
			"a process of this user may open 1024 files, and each connection is one: " +
				"say LimitNOFILE=65536 in the service, or raise ulimit -n"},
		{"files of another system", judgeFiles(0, false), "this system does not say how many files a process may open"},
		{"buffers of another system", judgeBuffers(0, false), "this system does not say how large UDP buffers may be"},
		{"modes of another system", Operator{Secrets: []string{secret}}.secretsOn("windows"),
			"file modes mean nothing on this system: make sure that nobody else can read the state folder"},
		{"large buffers", judgeBuffers(8<<20, true), "the kernel grants the size that the relay asks for"},
		{"small buffers", judgeBuffers(1000, true),
			"the kernel grants 1000 bytes, too few for keyframes of many cameras at once: run " +
				"sysctl -w net.core.rmem_max=4194304 net.core.wmem_max=4194304, and set both in /etc/sysctl.d"},
	} {
		l.check(t)
	}

	if f := checkBuffers(); f.Check != "udp buffers" {
		t.Errorf("the check is called %q", f.Check)
	}
}

func TestLinesOfTheName(t *testing.T) {
	name := func(url string, local bool) Finding {
		return Operator{Relay: Relay{URL: url}}.checkName(t.Context(), local)
	}
	for _, l := range []line{
		{"public", name("https://198.51.100.7", false), "the public URL's host has a public address; " +
			"to see whether devices elsewhere reach it, run viewer doctor -relay URL in another network"},
		{"malformed", name("://", false), "the public URL is malformed: correct -public-url"},
		{"no address", name("https://nowhere.invalid", false),
			"the public URL's host has no address: create its A and AAAA records, or correct -public-url"},
		{"local", name("http://127.0.0.1:7880", true),
			"the relay is configured to serve only this machine or network"},
		{"private", name("https://192.168.1.2", false),
			"the public URL's host has an address that the internet cannot reach: " +
				"correct its DNS records, or this machine's hosts file"},
	} {
		l.check(t)
	}
}

// The relay's own doctor says first to start the relay.
func TestLineOfARelayThatDoesNotRun(t *testing.T) {
	report := Operator{Relay: Relay{URL: "http://127.0.0.1:7880"}}.Examine(canceled(t))
	for _, f := range report.Findings {
		if f.Check == "https" && !strings.HasSuffix(f.Text, "; start relay serve first") {
			t.Errorf("says %q", f.Text)
		}
	}
}
