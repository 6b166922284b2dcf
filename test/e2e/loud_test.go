package e2e

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/crypto/pairing"
	"github.com/peephole-cam/peephole/media"
	"github.com/peephole-cam/peephole/session"
	"github.com/peephole-cam/peephole/signaling/bus"
	"github.com/peephole-cam/peephole/test/evilcloud"
	"github.com/peephole-cam/peephole/viewer"
)

const eastern, western = "node-0", "node-1"

// twoNodes is a cloud of two nodes, with a camera and a viewer at each.
type twoNodes struct {
	*evilcloud.Cloud
	east, west *household
	v, w       watcher // of east and west
}

func startTwoNodes(t *testing.T) *twoNodes {
	t.Helper()
	two := []string{"127.0.0.1:0", "127.0.0.1:0"}
	n := &twoNodes{Cloud: startCloud(t, evilcloud.Config{Signaling: two, TURN: two, Remember: 4096})}
	urls := n.URLs()
	n.east = runCamera(t, urls[0], "east", 0, filepath.Join(t.TempDir(), "east"))
	n.west = runCamera(t, urls[1], "west", 1, filepath.Join(t.TempDir(), "west"))
	n.v, n.w = pair(t, n.east), pair(t, n.west)

	return n
}

// quiet checks that nobody raised an alarm: no relay, and no camera.
func (n *twoNodes) quiet(t *testing.T) {
	t.Helper()
	if r := n.Rejected(); len(r) != 0 || n.east.Rejected()+n.west.Rejected() != 0 {
		t.Errorf("rejected at the relays: %v, at the cameras %d and %d; want none", r, n.east.Rejected(),
			n.west.Rejected())
	}
}

// following is a viewer that watches until stop is called.
type following struct {
	mu       sync.Mutex
	frames   int
	foreign  int
	rejected []session.Rejection
	stop     func()
}

func follow(t *testing.T, v watcher, h *household, relayOnly bool) *following {
	t.Helper()
	f := &following{}
	f.stop = run(t, func(ctx context.Context) error {
		for ctx.Err() == nil { // like a person who looks again when there was no picture
			_ = v.Watch(ctx, v.Cameras()[0].Name, viewer.Watch{RelayOnly: relayOnly,
				OnFrame: func(frame session.Frame) {
					f.mu.Lock()
					defer f.mu.Unlock()
					f.frames++
					if !slices.Contains(media.Marks(frame.AccessUnit), h.Mark) {
						f.foreign++
					}
				},
				OnReject: func(r session.Rejection) {
					f.mu.Lock()
					defer f.mu.Unlock()
					f.rejected = append(f.rejected, r)
				}})
		}
		return nil
	})

	return f
}

// shown waits for n more frames.
func (f *following) shown(t *testing.T, n int) {
	t.Helper()
	count := func() int { f.mu.Lock(); defer f.mu.Unlock(); return f.frames }
	want := count() + n
	eventually(t, "the picture", func() bool { return count() >= want })
}

func (f *following) total() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.rejected)
}

func (f *following) what(kind string) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.rejected {
		if r.What == kind {
			n++
		}
	}

	return n
}

// An honest cloud that restarts, loses everything, delivers everything twice and late, and comes back, raises no alarm:
// not in a relay's counter, not at a camera, not at a viewer.
func TestHonestCloudAlarmsNobody(t *testing.T) {
	t.Parallel()
	n := startTwoNodes(t)
	extra := newViewer(t)
	pairWith(t, extra, n.east) // a rendezvous carries eight messages, so its copies are limited
	var mu sync.Mutex
	last := make(map[[32]byte][]bus.Message)

	n.SetDelivery(func(_ *evilcloud.Mailboxes, name [32]byte, m bus.Message) (out []evilcloud.Parcel) {
		mu.Lock()
		defer mu.Unlock()
		out = append(out, evilcloud.Parcel{Name: name, Message: m}, evilcloud.Parcel{Name: name, Message: m})
		for _, earlier := range last[name] {
			out = append(out, evilcloud.Parcel{Name: name, Message: earlier})
		}

		last[name] = append(last[name], m)
		return out
	})

	direct, relayed := follow(t, n.v, n.east, false), follow(t, n.w, n.west, true)
	direct.shown(t, 10)
	relayed.shown(t, 10)
	if err := n.Restart(t.Context(), 500*time.Millisecond); err != nil {
		t.Fatal(err)
	}

	relayed.shown(t, 30)
	direct.shown(t, 10)
	again := follow(t, extra, n.east, true)
	again.shown(t, 10)
	if err := n.east.Remove(n.v.Fingerprint()); err != nil { // a removed viewer goes on trying
		t.Fatal(err)
	}

	again.shown(t, 10)
	for name, f := range map[string]*following{"direct": direct, "relayed": relayed, "paired later": again} {
		f.stop()
		if len(f.rejected) != 0 || f.foreign != 0 {
			t.Errorf("%s: rejected %v, %d foreign frames", name, f.rejected, f.foreign)
		}
	}

	n.quiet(t)
	if d := n.Counts().Deliveries; d < 20 {
		t.Errorf("%d deliveries: the test proves nothing", d)
	}
}

// The counters of the nodes reveal a node that hands its messages to the wrong mailboxes: they name it, and the node
// that delivered, and nobody else. They stop with the fault, and the picture comes back.
func TestOperatorFindsTheNodeThatMisroutes(t *testing.T) {
	t.Parallel()
	n := startTwoNodes(t)
	theirs, ours := follow(t, n.v, n.east, false), follow(t, n.w, n.west, false)
	theirs.shown(t, 5)
	ours.shown(t, 5)
	n.quiet(t)
	theirs.stop()
	ours.stop()

	// From now on, what is posted at the eastern node goes to where the western one delivered last.
	var mu sync.Mutex
	var west [32]byte
	names := make(map[[32]byte]bool)
	n.SetDelivery(func(_ *evilcloud.Mailboxes, name [32]byte, m bus.Message) []evilcloud.Parcel {
		mu.Lock()
		defer mu.Unlock()
		names[name] = true
		if m.Node == western {
			west = name
		} else if west != [32]byte{} {
			name = west
		}

		return []evilcloud.Parcel{{Name: name, Message: m}}
	})

	ours = follow(t, n.w, n.west, false)
	ours.shown(t, 5)
	theirs = follow(t, n.v, n.east, false)
	wrong := [2]string{eastern, western}
	eventually(t, "the counter of the right pair of nodes rises", func() bool { return n.Rejected()[wrong] >= 2 })
	told := func() int { return ours.what("envelope") + ours.what("record") + int(n.west.Rejected()) }
	eventually(t, "the household reads of it", func() bool { return told() >= 2 })
	if r := n.Rejected(); len(r) != 1 {
		t.Errorf("rejected %v, want posted at %s, delivered at %s, and nothing else", r, eastern, western)
	}

	n.Heal()
	theirs.shown(t, 10)
	ours.shown(t, 10)
	theirs.stop()
	ours.stop()
	healed := n.Rejected()[wrong]
	if s, err := watch(t, n.v, "east", n.east.Mark, 10, patience, false); err != nil || s.rejected != 0 {
		t.Errorf("after the fault: %+v, %v", s, err)
	}

	if now := n.Rejected()[wrong]; now != healed {
		t.Errorf("the counter goes on after the fault, from %d to %d", healed, now)
	}
	if theirs.foreign+ours.foreign != 0 {
		t.Error("a frame of another household was shown")
	}

	// No log says whose it was.
	needles := []string{"east", "west"}
	for name := range names {
		needles = append(needles, string(name[:]), fmt.Sprint(name[:8]), fmt.Sprint(name))
	}

	needles = append(needles, n.v.Fingerprint().String(), n.w.Fingerprint().String())
	log := &tape{}
	_, _ = log.Write(n.Dump().Log)
	if found := log.find(needles); len(found) > 0 {
		t.Errorf("the relays' log names %s", strings.Join(found, ", "))
	}

	if found := log.find([]string{`msg="a client rejected a delivery" posted=` + eastern + " delivered=" + western +
		"\n"}); len(found) == 0 {
		t.Error("nothing is logged: the search proves nothing")
	}
}

// If a TURN server gives one household's media to another, nobody sees anything of it, and the viewers say so: SRTP
// drops such packets before SFrame sees them, and they are counted all the same. No relay counts them, since media is
// not signaling.
func TestCrossedMediaIsNotShown(t *testing.T) {
	t.Parallel()
	c := startRelay(t)
	east, west := startCamera(t, c, "east", 0), startCamera(t, c, "west", 1)
	v, w := pair(t, east), pair(t, west)
	a, b := follow(t, v, east, true), follow(t, w, west, true)
	a.shown(t, 20)
	b.shown(t, 20)
	if n := a.total() + b.total(); n != 0 {
		t.Fatalf("%d rejected before the fault", n)
	}

	c.SetTraffic(evilcloud.CrossMedia)
	eventually(t, "a person reads of packets that are not their camera's", func() bool {
		return a.what("packet")+b.what("packet") > 0
	})
	c.Heal()
	a.shown(t, 20)
	b.shown(t, 20)
	a.stop()
	b.stop()
	if a.foreign+b.foreign != 0 || c.Counts().Misrouted == 0 {
		t.Errorf("%d and %d foreign frames were shown, of %d packets crossed", a.foreign, b.foreign,
			c.Counts().Misrouted)
	}

	if r := c.Rejected(); len(r) != 0 {
		t.Errorf("signaling counts %v", r)
	}
}

// At the end the terminal viewer says that nothing was shown and why, whatever it was asked for; and it says nothing of
// the kind under an honest relay.
func TestTerminalSaysThatNothingWasShown(t *testing.T) {
	t.Parallel()
	need(t, "ffmpeg")
	n := startTwoNodes(t)
	v := newTerminal(t)
	v.pair(t, n.east.code(t).URI())
	ours := record(t, v.state())
	inboxes := make(map[[32]byte]bool)
	for _, days := range []time.Duration{-24, 0, 24} {
		inboxes[ours.Mailbox(envelope.ToCamera, ours.Day(time.Now().Add(days*time.Hour))).Name] = true
	}

	picture := filepath.Join(t.TempDir(), "picture.jpg")
	watching, snapshot := []string{"watch", "east", "-frames", "3", "-json"},
		[]string{"snapshot", "east", "-o", picture}
	v.ok(t, watching...)
	v.ok(t, snapshot...)
	n.quiet(t)

	// What goes to the camera arrives, so that there is an answer to spoil; pairing is spoilt as a whole.
	var pairingToo atomic.Bool
	n.SetDelivery(func(_ *evilcloud.Mailboxes, name [32]byte, m bus.Message) []evilcloud.Parcel {
		if pairingToo.Load() || !inboxes[name] {
			m.Body = bytes.Clone(m.Body)
			m.Body[len(m.Body)-1] ^= 1
		}
		return []evilcloud.Parcel{{Name: name, Message: m}}
	})

	sentence := session.Rejection{}.Text() + "\n"
	const atTheEnd = "nothing was shown: the relay delivered "
	const next = " not from your camera; tell the relay's operator, or use another relay ("
	o := v.run(t, watching...)
	w := o.parse(t)
	if o.code != 1 || w.Rejected == 0 || w.Frames != 0 || !strings.HasPrefix(w.Error, atTheEnd) ||
		!strings.Contains(w.Error, next) || strings.Count(o.stderr, sentence) != 1 {
		t.Errorf("watch: exit %d, %+v, said %q", o.code, w, o.stderr)
	}

	here := [2]string{eastern, eastern}
	told := n.Rejected()[here]
	o = v.run(t, snapshot...)
	if o.code != 1 || !strings.Contains(o.stderr, "viewer: "+atTheEnd) || !strings.Contains(o.stderr, next) ||
		strings.Count(o.stderr, sentence) != 1 {
		t.Errorf("snapshot: exit %d, said %q", o.code, o.stderr)
	}

	again := n.Rejected()[here]
	pairingToo.Store(true)
	newTerminal(t).run(t, "pair", n.east.code(t).URI()).fails(t, "pair: "+pairing.ErrInvalid.Error())
	if paired := n.Rejected()[here]; told == 0 || again <= told || paired <= again {
		t.Errorf("the relay heard of %d rejections after watch, %d after snapshot, %d after pair; want more each time",
			told, again, paired)
	}

	n.Heal()
	v.ok(t, watching...)
	v.ok(t, snapshot...)
}
