package e2e

import (
	"context"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pion/stun/v3"

	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/crypto/identity"
	"github.com/peephole-cam/peephole/crypto/pairing"
	"github.com/peephole-cam/peephole/signaling"
	"github.com/peephole-cam/peephole/test/evilcloud"
)

// Ring, according to the FTC in 2023: every employee, and hundreds of a contractor's, could watch any customer's
// videos. Verkada, 2021: one administrator's password, found on the internet, opened 150,000 cameras. Here the
// operator, or somebody who has stolen everything from the operator, reads the relay's disk, memory, log, keys and
// every byte that passes, and then acts as the relay.
func TestIncidentOperatorWithAllKeysAndTheWholeDisk(t *testing.T) {
	t.Parallel()
	t.Run("has everything", testOperatorHasEverything)
	t.Run("acts as the relay", testOperatorActs)
}

// testOperatorHasEverything: nothing that the relay command holds while a picture passes through it reveals what is in
// the picture, whose it is, or how to open it.
func testOperatorHasEverything(t *testing.T) {
	loot := &tape{}
	disk, listen, turn := t.TempDir(), loopbackAddress(t), loopbackAddress(t)
	ticket := filepath.Join(t.TempDir(), "ticket")
	issued, err := exec.CommandContext(t.Context(), filepath.Join(binaries(t), "relay"), "ticket", "-state",
		disk).Output()
	if err == nil {
		err = os.WriteFile(ticket, issued, 0o600)
	}

	if err != nil {
		t.Fatal(err)
	}
	front := "http://" + tapeTCP(t, listen, loot)
	relay, _ := startRelayAt(t, listen, "-state", disk, "-admission", "ticket", "-log-level", "debug", "-public-url",
		front, "-turn", turn, "-turn-public", frontAt(t, turn, loot).at())

	const name = "nursery, second floor"
	state := t.TempDir()
	camera := start(t, "camera", "-relay", front, "-state", state, "-name", name, "-ticket", ticket, "-input",
		"../../media/clips/clip2.h264")
	v := newTerminal(t)
	link := camera.line(t, "pair "+name+" ")
	v.pair(t, link)
	v.ok(t, "watch", name, "-frames", "5")
	file := filepath.Join(t.TempDir(), "relayed.h264")
	watching := start(t, "viewer", append(v.flags, "watch", name, "-json", "-relay-only", "-o", file)...)
	eventually(t, "the picture passes through the relay", func() bool { return size(file) > 40_000 })
	waiting := leaveMessage(t, front, issued) // so that something waits in the relay's queues

	readDisk(t, disk, loot)
	readMemory(t, relay.Process.Pid, loot)
	if _, err := loot.Write([]byte(relay.said())); err != nil {
		t.Fatal(err)
	}
	watching.stop()
	if w := (outcome{stdout: <-watching.lines}).parse(t); w.Path != "relay" || w.Frames == 0 {
		t.Fatalf("%+v: the test proves nothing", w)
	}

	inbox := inboxesOf(t, watcher{state: v.state()})[0]
	operator, err := os.ReadFile(filepath.Join(disk, "operator.key"))
	if err != nil {
		t.Fatal(err)
	}
	for what, held := range map[string]string{
		"a message that waits": waiting, "the name of a mailbox": string(inbox[:]),
		"the operator's key": strings.TrimSpace(string(operator)), "its log": "level=DEBUG",
	} {
		if len(loot.find([]string{held})) == 0 {
			t.Errorf("%s is not among what the operator has: the test proves nothing", what)
		}
	}

	for what, needles := range secretsOf(t, state, v.state(), link, name, file) {
		if found := loot.find(needles); len(found) > 0 {
			t.Errorf("the operator has %s: %d of %d, such as %.80s", what, len(found), len(needles), found[0])
		}
		if len(needles) == 0 {
			t.Errorf("nothing looked for of %s: the test proves nothing", what)
		}
	}
}

// leaveMessage posts a message that nobody fetches.
func leaveMessage(t *testing.T, relayURL string, ticket []byte) (text string) {
	t.Helper()
	admits, err := base64.RawURLEncoding.DecodeString(strings.TrimSpace(string(ticket)))
	if err != nil {
		t.Fatal(err)
	}
	client, err := signaling.NewClient(signaling.ClientConfig{URL: relayURL, Logger: logger(t)})
	if err != nil {
		t.Fatal(err)
	}

	run(t, client.Run)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	text = "left in a queue: " + string(secret(t))
	if err := client.Send(ctx, signaling.Mailbox{
		Read:   ed25519Key(t),
		Write:  ed25519Key(t),
		Ticket: admits,
	}, []byte(text), time.Hour); err != nil {
		t.Fatal(err)
	}

	return text
}

// secretsOf returns everything that would open a picture or reveal its content, by what it is.
func secretsOf(t *testing.T, camera, viewer, link, name, file string) map[string][]string {
	t.Helper()
	secrets := map[string][]string{
		"the camera's name": {name},
		"the pairing code":  {link[strings.Index(link, "#")+1:]},
	}
	for whose, state := range map[string]string{"the camera's": camera, "the viewer's": viewer} {
		role := identity.Camera
		if state == viewer {
			role = identity.Viewer
		}
		text, err := os.ReadFile(filepath.Join(state, "identity.key"))
		if err != nil {
			t.Fatal(err)
		}

		_, encoded, _ := strings.Cut(strings.TrimSpace(string(text)), " ")
		seeds, err := base64.RawURLEncoding.DecodeString(encoded)
		if err != nil || len(seeds) != 64 {
			t.Fatalf("read identity: %d bytes, %v", len(seeds), err)
		}
		secrets[whose+" private keys"] = []string{string(seeds[:32]), string(seeds[32:])}
		self, err := identity.Load(state)
		if err != nil {
			t.Fatal(err)
		}

		records, err := pairing.NewStore(state, self, role).Load()
		if err != nil || len(records) != 1 {
			t.Fatalf("load pairs: %d, %v", len(records), err)
		}
		p := records[0].Pair
		secrets[whose+" pair"] = []string{string(p.Secret[:]), string(p.MailboxSecret[:])}
		fingerprint := self.Bundle().Fingerprint()
		secrets[whose+" fingerprint"] = []string{fingerprint.String(), string(fingerprint[:])}
	}

	for _, unit := range units(t, file) {
		for at := 64; at+32 <= len(unit) && len(secrets["the picture"]) < 8; at += 1024 {
			secrets["the picture"] = append(secrets["the picture"], string(unit[at:at+32]))
		}
	}

	return secrets
}

// testOperatorActs: with every key of the relay, and in its place, the operator gets no answer from a camera and shows
// a viewer nothing.
func testOperatorActs(t *testing.T) {
	c := startCloud(t, evilcloud.Config{Remember: 4096, Middle: true})
	front := startTURNFront(t, c)
	camera := startCamera(t, c, "front door", 0)
	v := pair(t, camera)
	copied := &ciphertexts{}
	front.rule(copied.keep)
	person := beginWatch(t, v, "front door", camera.Mark, true)
	person.sees(t, 20)

	t.Run("joins a session at TURN", func(t *testing.T) { joinSession(t, c, front) })
	t.Run("copies the media", func(t *testing.T) {
		loot := &tape{}
		sealed := copied.take()
		for _, b := range sealed {
			_, _ = loot.Write(b) // to memory
		}

		if found := loot.find([]string{camera.Mark, "household of"}); len(found) > 0 || len(sealed) < 50 {
			t.Errorf("%d packets say %q", len(sealed), found)
		}
	})

	t.Run("calls the camera", func(t *testing.T) { callCamera(t, c, camera, v) })
	person.sees(t, 10)
	person.stop()
	person.sawOwn(t, "the owner")
	if n := person.report().sessions; n != 1 {
		t.Errorf("the owner had %d sessions, want one, undisturbed", n)
	}
	t.Run("answers the viewer", func(t *testing.T) { answerViewer(t, c, camera, v) })
}

// joinSession: somebody with the key that makes TURN's credentials can be the third at a session there, and hears
// nothing of the other two.
func joinSession(t *testing.T, c *evilcloud.Cloud, front *turnFront) {
	stolen, victims := c.Dump(), front.allocated()
	for _, victim := range victims {
		joined := dialTURN(t, front.at(), "127.0.0.2")
		theirs := signaling.Credentials{Username: victim.name,
			Credential: turnPassword(t, stolen.Secrets[0], victim.name)}
		if m := joined.ask(stun.MethodAllocate, theirs, wantUDP); errorOf(m) != 0 {
			t.Fatalf("allocate with the server's key: %v: the test proves nothing", m)
		}

		for _, other := range victims {
			peer := stun.RawAttribute{Type: stun.AttrXORPeerAddress, Value: other.relayed}
			if m := joined.ask(stun.MethodCreatePermission, theirs, peer); other.viewer != victim.viewer &&
				errorOf(m) != 0 {
				t.Errorf("permission for the other end: %v: the test proves nothing", m)
			}

			hello, err := stun.Build(stun.TransactionID, stun.NewType(stun.MethodSend, stun.ClassIndication), peer,
				stun.RawAttribute{Type: stun.AttrData, Value: []byte("hello")})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := joined.conn.Write(hello.Raw); err != nil {
				t.Fatal(err)
			}
		}

		joined.ask(stun.MethodRefresh, theirs, lifetime(600))
		joined.ask(stun.MethodRefresh, theirs, lifetime(0))
		if joined.other != 0 {
			t.Errorf("the third party at TURN got %d packets", joined.other)
		}
	}
}

// turnPassword makes a password as the TURN server does (turn/keys.go).
func turnPassword(t *testing.T, key []byte, username string) string {
	t.Helper()
	derived, err := hkdf.Key(sha256.New, key, nil, "peephole turn credential v1", sha256.Size)
	if err != nil {
		t.Fatal(err)
	}
	mac := hmac.New(sha256.New, derived)
	mac.Write([]byte(username))

	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// callCamera: no key of the relay makes an offer that a camera answers, though the operator knows the devices' public
// keys and where to post.
func callCamera(t *testing.T, c *evilcloud.Cloud, camera *household, v watcher) {
	own, err := identity.Generate()
	if err != nil {
		t.Fatal(err)
	}
	stolen, inbox, victim := c.Dump(), inboxesOf(t, v)[0], record(t, v.state)
	n, guesses := len(c.Posted()), []*envelope.Pair{victim}

	for _, key := range [][]byte{make([]byte, 32), stolen.Secrets[0], inbox[:], stolen.Operator.Seed()} {
		guess := envelope.Secret(key)
		for _, p := range []*envelope.Pair{
			{
				Self:          own,
				Role:          identity.Viewer,
				Peer:          victim.Peer,
				Secret:        guess,
				MailboxSecret: guess,
			},
			// suppose that this were known too
			{
				Self:          own,
				Role:          identity.Viewer,
				Peer:          victim.Peer,
				Secret:        guess,
				MailboxSecret: victim.MailboxSecret,
			},
		} {
			c.Deliver(inbox, offerOf(t, p))
			guesses = append(guesses, p)
		}
	}

	another := beginWatch(t, v, "front door", camera.Mark, false) // the camera reads its offer after all those
	another.sees(t, 1)
	another.stop()
	posted := c.Posted()[n:]
	if answers, others := answersTo(posted, guesses...), unasked(posted, inboxesOf(t, v)); answers+others != 0 {
		t.Errorf("%d answers to the operator's offers were posted, and %d to nobody's", answers, others)
	}
}

// answerViewer: in the camera's place, and with the viewer's public keys, the operator shows nothing.
func answerViewer(t *testing.T, c *evilcloud.Cloud, camera *household, v watcher) {
	inboxes, forged := inboxesOf(t, v), forgedAnswer(t, record(t, v.state).Self.Bundle())
	c.SetFrames(func(l *evilcloud.Line, f signaling.Frame, fromRelay bool) []evilcloud.Said {
		if d, ok := f.(signaling.Deliver); ok && !slices.Contains(inboxes, [32]byte(d.Name)) {
			d.Body = forged
			f = d
		}
		return []evilcloud.Said{{Line: l, ToClient: fromRelay, Frame: f}}
	})

	defer c.SetFrames(nil)
	before := c.Counts().Frames
	person := beginWatch(t, v, "front door", camera.Mark, false)
	awaitFault(t, "the person reads of the operator", func() bool { return person.report().rejected > 0 })
	person.stop()
	person.sawNothing(t, "the owner")
	if c.Counts().Frames == before {
		t.Error("nothing was forged: the test proves nothing")
	}
}
