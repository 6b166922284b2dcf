package e2e

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/internal/evilcloud"
	"github.com/peephole-cam/peephole/session"
	"github.com/peephole-cam/peephole/signaling/bus"
	"github.com/peephole-cam/peephole/viewer"
)

// remembering is a relay that tests may read the queues of.
var remembering = evilcloud.Config{Remember: 4096}

// lastOffer is the offer that was posted last: of an offer and its answer, which alone are that long, the first.
func lastOffer(t *testing.T, c *evilcloud.Cloud) evilcloud.Posted {
	t.Helper()
	var long []evilcloud.Posted
	for _, p := range c.Posted() {
		if len(p.Body) > 4000 && p.Body[0] == 1 { // pieces of the first picture begin otherwise
			long = append(long, p)
		}
	}
	if len(long) < 2 {
		t.Fatal("no session has been offered and answered")
	}
	return long[len(long)-2]
}

// A relay that flips bits in all it carries, and so in fingerprints, candidates and keys, wherever they are, shows nobody a picture.
func TestRelayTampers(t *testing.T) {
	t.Parallel()
	c := startRelay(t)
	camera := startCamera(t, c, "front door", 0)
	v := pair(t, camera)
	for _, tt := range []struct {
		name  string
		place func(body []byte) int
	}{
		{"version", func([]byte) int { return 0 }},
		{"tag", func([]byte) int { return 1 }},
		{"encapsulated key", func([]byte) int { return 200 }},
		{"first byte of the ciphertext", func(b []byte) int { return min(1129, len(b)-1) }},
		{"middle of the ciphertext", func(b []byte) int { return len(b) / 2 }},
		{"tag of the ciphertext", func(b []byte) int { return len(b) - 1 }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c.SetDelivery(evilcloud.FlippedAt(tt.place))
			s, _ := watch(t, v, "front door", camera.Mark, 1, 3*time.Second, false)
			if s.frames != 0 {
				t.Errorf("%d frames were shown", s.frames)
			}
		})
	}
	c.Heal()
	if s, err := watch(t, v, "front door", camera.Mark, 5, 20*time.Second, false); err != nil || s.frames != 5 || s.foreign != 0 {
		t.Errorf("after the fault: %d frames, error %v; want the picture back", s.frames, err)
	}
}

// A relay that delivers each household's messages to the other shows nobody a picture, and says so to the viewers: promise 4.
func TestRelayCrossesHouseholds(t *testing.T) {
	t.Parallel()
	c := startRelay(t)
	ours, theirs := startCamera(t, c, "ours", 0), startCamera(t, c, "theirs", 1)
	v, w := pair(t, ours), pair(t, theirs)
	var mu sync.Mutex
	var last [32]byte
	c.SetDelivery(func(_ *evilcloud.Mailboxes, name [32]byte, m bus.Message) []evilcloud.Parcel {
		mu.Lock()
		defer mu.Unlock()
		before := last
		if last = name; before == name || before == [32]byte{} {
			return nil
		}
		return []evilcloud.Parcel{{Name: before, Message: m}} // what is for this mailbox goes to the one before it
	})
	var both sync.WaitGroup
	shown := make([]*seen, 2)
	both.Go(func() { shown[0], _ = watch(t, v, "ours", ours.Mark, 1, 6*time.Second, false) })
	both.Go(func() { shown[1], _ = watch(t, w, "theirs", theirs.Mark, 1, 6*time.Second, false) })
	both.Wait()
	for i, s := range shown {
		if s.frames != 0 {
			t.Errorf("viewer %d was shown %d frames", i, s.frames)
		}
	}
	if c.Counts().Crossed == 0 {
		t.Error("nothing was crossed: the test shows nothing")
	}
	c.Heal()
	for i, s := range []struct {
		v    watcher
		name string
		mark string
	}{{v, "ours", ours.Mark}, {w, "theirs", theirs.Mark}} {
		if got, err := watch(t, s.v, s.name, s.mark, 5, 20*time.Second, false); err != nil || got.foreign != 0 || got.frames != 5 {
			t.Errorf("viewer %d after the fault: %+v, %v", i, got, err)
		}
	}
}

// What is delivered in an answer's place is told to the person, and counted.
func TestRelayDeliversForeignAnswer(t *testing.T) {
	t.Parallel()
	c := startCloud(t, remembering)
	camera := startCamera(t, c, "front door", 0)
	v := pair(t, camera)
	n := len(c.Posted())
	if _, err := watch(t, v, "front door", camera.Mark, 1, 20*time.Second, false); err != nil {
		t.Fatal(err)
	}
	posted := c.Posted()[n:]
	offer := posted[0]
	isAnswer := func(p evilcloud.Posted) bool { return len(p.Body) > 2000 && p.Name != offer.Name } // records may be posted before it
	answer := posted[slices.IndexFunc(posted, isAnswer)]
	c.SetDelivery(func(_ *evilcloud.Mailboxes, name [32]byte, m bus.Message) []evilcloud.Parcel {
		if len(m.Body) > 2000 && name != offer.Name {
			m.Body = answer.Body // yesterday's answer, of the same pair
		}
		return []evilcloud.Parcel{{Name: name, Message: m}}
	})
	s, err := watch(t, v, "front door", camera.Mark, 1, 12*time.Second, false)
	if s.frames != 0 || s.rejected == 0 {
		t.Errorf("%d frames shown, %d rejections told; want none and some", s.frames, s.rejected)
	}
	if err != nil && !errors.Is(err, session.ErrNoAnswer) {
		t.Errorf("error %v, want %v", err, session.ErrNoAnswer)
	}
}

func bodies(p []evilcloud.Posted) (b [][]byte) {
	for _, x := range p {
		b = append(b, x.Body)
	}
	return b
}

// A stream held back on its way is shown as delayed, and never as live.
func TestStreamHeldBack(t *testing.T) {
	t.Parallel()
	c := startRelay(t)
	c.SetTraffic(evilcloud.Hold)
	camera := startCamera(t, c, "front door", 0)
	v := pair(t, camera)
	s, err := watch(t, v, "front door", camera.Mark, 60, 40*time.Second, true)
	if err != nil {
		t.Fatal(err)
	}
	if s.frames < 60 || s.foreign != 0 {
		t.Fatalf("%d frames, %d foreign: the test shows nothing", s.frames, s.foreign)
	}
	if s.live != 0 {
		t.Errorf("%d of %d frames that were held back for %s were called live", s.live, s.frames, evilcloud.HeldFor)
	}
}

// Two viewers, and two windows of one viewer, watch at once.
func TestManyWatchAtOnce(t *testing.T) {
	t.Parallel()
	r := startRelay(t)
	camera := startCamera(t, r, "front door", 0)
	v, w := pair(t, camera), pair(t, camera)
	var all sync.WaitGroup
	for _, viewer := range []watcher{v, v, w} {
		all.Go(func() {
			s, err := watch(t, viewer, "front door", camera.Mark, 30, 30*time.Second, false)
			if err != nil || s.frames != 30 || s.foreign != 0 || s.rejected != 0 {
				t.Errorf("%+v, %v; want 30 frames", s, err)
			}
		})
	}
	all.Wait()
}

// A viewer who is taken off the roster, by the program or by deleting its file, is cut off at once and cannot come back: promise 7.
func TestRemovedViewerIsCutOff(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		remove func(*household, watcher) error
		within time.Duration
	}{
		{"removed", func(h *household, v watcher) error { return h.Remove(v.Fingerprint()) }, time.Second},
		{"file deleted", func(h *household, v watcher) error {
			return os.Remove(filepath.Join(h.state, "pairs", v.Fingerprint().Short()+".json"))
		}, 5 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := startRelay(t)
			camera := startCamera(t, r, "front door", 0)
			v := pair(t, camera)
			began := make(chan struct{})
			ended := make(chan error, 1)
			var last time.Time
			go func() {
				once := sync.OnceFunc(func() { close(began) })
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				defer cancel()
				ended <- v.Watch(ctx, "front door", viewer.Watch{OnFrame: func(session.Frame) { last = time.Now(); once() }})
			}()
			<-began
			removed := time.Now()
			if err := tt.remove(camera, v); err != nil {
				t.Fatal(err)
			}
			<-ended
			if after := last.Sub(removed); after > tt.within {
				t.Errorf("a removed viewer was shown frames for %s more", after)
			}
			if s, _ := watch(t, v, "front door", camera.Mark, 1, 3*time.Second, false); s.frames != 0 {
				t.Error("a removed viewer was let in again")
			}
		})
	}
}
