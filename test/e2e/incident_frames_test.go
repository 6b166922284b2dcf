package e2e

import (
	"bytes"
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/peephole-cam/peephole/media"
	"github.com/peephole-cam/peephole/session"
	"github.com/peephole-cam/peephole/signaling"
	"github.com/peephole-cam/peephole/signaling/bus"
	"github.com/peephole-cam/peephole/test/evilcloud"
)

// frameCache keeps the media packets that pass a TURN front, by camera, and can serve kept packets in place of new
// ones.
type frameCache struct {
	mu     sync.Mutex
	kept   map[string][][]byte // guarded by mu
	served atomic.Int64        // kept packets that were sent to a viewer
}

// enough kept packets make a viewer that has seen later ones assume that their sender has restarted
// (media/assembler.go, reorderWindow).
const enough = 600

// maxKept bounds what is kept for one camera: some seconds of its stream.
const maxKept = 400

// keep keeps what viewers get under a name, and passes it on.
func (c *frameCache) keep(name string) mediaRule {
	return func(to *turnClient, rtp []byte) [][]byte {
		c.mu.Lock()
		defer c.mu.Unlock()
		if to.viewer && len(c.kept[name]) < maxKept {
			c.kept[name] = append(c.kept[name], bytes.Clone(rtp))
		}
		return [][]byte{rtp}
	}
}

// burst is how many kept packets are served for each new one.
const burst = 8

// serve gives viewers what was kept under a name, from its beginning, again and again.
func (c *frameCache) serve(name string) mediaRule {
	c.served.Store(0)
	return func(to *turnClient, rtp []byte) (packets [][]byte) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if !to.viewer {
			return [][]byte{rtp}
		}
		for range burst {
			n := c.served.Add(1) - 1
			packets = append(packets, c.kept[name][n%int64(len(c.kept[name]))])
		}

		return packets
	}
}

func (c *frameCache) size(name string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.kept[name])
}

// Xiaomi and Google, January 2020: after a change to a cache, a person who asked a Nest Hub for their own Mijia camera
// saw stills from strangers' homes. Here a cache on the path serves kept frames, and kept messages, in place of new
// ones.
func TestIncidentStaleFramesAfterCacheUpdate(t *testing.T) {
	t.Parallel()
	c := startCloud(t, evilcloud.Config{Remember: 4096, Middle: true})
	front := startTURNFront(t, c)
	ours, theirs := startCamera(t, c, "ours", 0), startCamera(t, c, "theirs", 1)
	v, w := pair(t, ours), pair(t, theirs)
	cache := &frameCache{kept: make(map[string][][]byte)}

	// Each kept packet shows a picture to its recipient, so there is something to confuse.
	for _, home := range []struct {
		v    watcher
		name string
		mark string
	}{{v, "ours", ours.Mark}, {w, "theirs", theirs.Mark}} {
		front.rule(cache.keep(home.name))
		person := beginWatch(t, home.v, home.name, home.mark, true)
		person.sees(t, 30)
		person.stop()
		person.sawOwn(t, home.name)
		if cache.size(home.name) < 30 {
			t.Fatalf("%d packets of %s were kept: the test proves nothing", cache.size(home.name), home.name)
		}
	}

	for _, tt := range []struct{ name, kept string }{
		{"a stranger's frames", "theirs"},
		{"our own frames of an earlier session", "ours"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			front.rule(cache.serve(tt.kept))
			person := beginWatch(t, v, "ours", ours.Mark, true)
			awaitFault(t, "kept frames reach the viewer", func() bool { return cache.served.Load() > enough })
			eventually(t, "the person reads of packets that do not open", func() bool {
				return person.report().rejected > 0
			})
			person.sawNoStream(t, "the viewer")
			front.rule(nil)
			person.sees(t, 10)
			person.stop()
			person.sawOwn(t, "the viewer after the fault")
		})
	}

	t.Run("our own frames of this session", func(t *testing.T) {
		front.rule(cache.keep("now"))
		person := beginWatch(t, v, "ours", ours.Mark, true)
		person.sees(t, 30)
		front.rule(cache.serve("now"))
		awaitFault(t, "kept frames reach the viewer", func() bool { return cache.served.Load() > enough })
		front.rule(nil)
		person.sees(t, 10)
		person.stop()
		person.sawOwn(t, "the viewer")
	})

	t.Run("old messages", func(t *testing.T) { testOldMessages(t, c, v, ours) })
	t.Run("thumbnails", func(t *testing.T) { testOldStills(t, c, [2]watcher{v, w}, [2]*household{ours, theirs}) })
}

// testOldStills: a viewer that asks for a thumbnail gets kept ones: a stranger's, and an older one of its own camera.
func testOldStills(t *testing.T, c *evilcloud.Cloud, viewers [2]watcher, homes [2]*household) {
	var kept [2][][]byte // each camera's answer, and the pieces of the picture
	for i, name := range twoNames {
		n := len(c.Posted())
		frame, err := viewers[i].Still(t.Context(), name, nil)
		if marks := media.Marks(frame.AccessUnit); err != nil || !slices.Equal(marks, []string{homes[i].Mark}) {
			t.Fatalf("%s: a still of %q, %v", name, marks, err)
		}
		if kept[i] = bodies(c.Posted()[n+1:]); len(kept[i]) < 2 { // behind the offer
			t.Fatalf("%d messages were kept: the test proves nothing", len(kept[i]))
		}
	}

	inboxes := inboxesOf(t, viewers[0])
	defer c.SetFrames(nil)
	for i, whose := range []string{"an older one", "a stranger's"} {
		for _, alone := range []bool{true, false} { // in place of the new one, or before it
			c.SetFrames(func(l *evilcloud.Line, f signaling.Frame, fromRelay bool) (said []evilcloud.Said) {
				d, ok := f.(signaling.Deliver)
				mixed := ok && !slices.Contains(inboxes, [32]byte(d.Name))
				for _, body := range kept[i] {
					if mixed {
						said = append(said, evilcloud.Said{
							Line:     l,
							ToClient: true,
							Frame:    signaling.Deliver{Name: d.Name, Seq: d.Seq, Body: body},
						})
					}
				}

				if !alone || !mixed {
					said = append(said, evilcloud.Said{Line: l, ToClient: fromRelay, Frame: f})
				}
				return said
			})

			ctx, cancel := context.WithCancel(t.Context())
			var told int
			frame, err := viewers[0].Still(ctx, "ours", func(session.Rejection) {
				if told++; alone && told >= len(kept[i]) {
					cancel()
				}
			})

			cancel()
			if told < len(kept[i]) {
				t.Errorf("%s: %d kept messages were rejected: the test proves nothing", whose, told)
			}
			marks := media.Marks(frame.AccessUnit)
			if alone && (err == nil || frame.AccessUnit != nil) ||
				!alone && (err != nil || !slices.Equal(marks, []string{homes[0].Mark})) {
				t.Errorf("%s, alone %t: a still of %q, %v", whose, alone, marks, err)
			}
		}
	}
}

// testOldMessages: with every message comes everything that was ever posted, by this household and the other.
func testOldMessages(t *testing.T, c *evilcloud.Cloud, v watcher, ours *household) {
	old := c.Posted()
	before := c.Counts().Changed
	c.SetDelivery(func(_ *evilcloud.Mailboxes, name [32]byte, m bus.Message) (parcels []evilcloud.Parcel) {
		for _, p := range old {
			parcels = append(parcels, evilcloud.Parcel{Name: name, Message: bus.Message{Seq: m.Seq, Body: p.Body}})
		}
		return append(parcels, evilcloud.Parcel{Name: name, Message: m})
	})

	defer c.SetDelivery(nil)
	n := len(c.Posted())
	person := beginWatch(t, v, "ours", ours.Mark, false)
	person.sees(t, 20)
	person.stop()
	person.sawOwn(t, "the viewer")
	if served := c.Counts().Changed - before; served < int64(len(old)) {
		t.Errorf("%d old messages were delivered: the test proves nothing", served)
	}

	if person.report().rejected == 0 {
		t.Error("the person read nothing about old messages")
	}
	inboxes := inboxesOf(t, v)
	answersOf := func(posted []evilcloud.Posted) (at [][32]byte) {
		for _, p := range posted {
			if isEnvelope(p) && !slices.Contains(inboxes, p.Name) {
				at = append(at, p.Name)
			}
		}
		return at
	}

	earlier, since := answersOf(old), answersOf(c.Posted()[n:])
	if slices.ContainsFunc(since, func(name [32]byte) bool {
		return slices.Contains(earlier, name)
	}) || unasked(c.Posted()[n:], inboxes) != 0 {
		t.Error("the camera answered an old offer")
	}

	if len(earlier) == 0 || len(since) == 0 {
		t.Errorf("%d answers before, %d since: the test proves nothing", len(earlier), len(since))
	}
}
