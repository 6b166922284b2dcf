package e2e

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/session"
	"github.com/peephole-cam/peephole/signaling/bus"
	"github.com/peephole-cam/peephole/test/evilcloud"
)

// remembering configures a relay whose queues tests can read.
var remembering = evilcloud.Config{Remember: 4096}

// lastOffer returns the offer that was posted last. Offers and answers alone are that long; an offer comes before its
// answer.
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

// underFault is for how long nothing may be shown once a fault has acted. Without the fault, a picture would come
// within a second.
const underFault = 3 * time.Second

// A relay that flips bits in everything it carries, and so in fingerprints, candidates and keys wherever they are,
// never causes a picture to be shown.
func TestTamperingRelayShowsNoPicture(t *testing.T) {
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
			before := c.Counts().Changed
			c.SetDelivery(evilcloud.FlippedAt(tt.place))
			person := beginWatch(t, v, "front door", camera.Mark, false)
			eventually(t, "a message is changed", func() bool { return c.Counts().Changed > before })
			<-time.After(underFault)
			person.stop()
			if n := person.report().shown; n != 0 {
				t.Errorf("%d frames were shown", n)
			}
		})
	}

	c.Heal()
	if s, err := watch(t, v, "front door", camera.Mark, 5, patience, false); err != nil || s.frames != 5 ||
		s.foreign != 0 {
		t.Errorf("after the fault: %d frames, error %v; want the picture back", s.frames, err)
	}
}

// If a relay delivers each household's messages to the other, no picture is shown, and the viewers say so: promise 4.
func TestCrossedHouseholdsSeeNoPicture(t *testing.T) {
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
		return []evilcloud.Parcel{{Name: before, Message: m}} // deliver to the mailbox before this one
	})

	people := []*witness{beginWatch(t, v, "ours", ours.Mark, false), beginWatch(t, w, "theirs", theirs.Mark, false)}
	eventually(t, "messages are crossed", func() bool { return c.Counts().Crossed > 0 })
	<-time.After(underFault)
	for i, p := range people {
		p.stop()
		if n := p.report().shown; n != 0 {
			t.Errorf("viewer %d was shown %d frames", i, n)
		}
	}

	c.Heal()
	for i, s := range []struct {
		v    watcher
		name string
		mark string
	}{{v, "ours", ours.Mark}, {w, "theirs", theirs.Mark}} {
		if got, err := watch(t, s.v, s.name, s.mark, 5, patience, false); err != nil || got.foreign != 0 ||
			got.frames != 5 {
			t.Errorf("viewer %d after the fault: %+v, %v", i, got, err)
		}
	}
}

// The viewer reports, and counts, anything that is delivered in place of an answer.
func TestForeignAnswerIsReported(t *testing.T) {
	t.Parallel()
	c := startCloud(t, remembering)
	camera := startCamera(t, c, "front door", 0)
	v := pair(t, camera)
	n := len(c.Posted())
	if _, err := watch(t, v, "front door", camera.Mark, 1, patience, false); err != nil {
		t.Fatal(err)
	}

	inboxes := inboxesOf(t, v)
	isAnswer := func(name [32]byte, body []byte) bool {
		return isEnvelope(evilcloud.Posted{Name: name, Body: body}) && !slices.Contains(inboxes, name)
	}
	posted := c.Posted()[n:]
	first := slices.IndexFunc(posted, func(p evilcloud.Posted) bool { return isAnswer(p.Name, p.Body) })
	if first < 0 {
		t.Fatal("no session has been answered")
	}

	c.SetDelivery(func(_ *evilcloud.Mailboxes, name [32]byte, m bus.Message) []evilcloud.Parcel {
		if isAnswer(name, m.Body) {
			m.Body = posted[first].Body // yesterday's answer, of the same pair
		}
		return []evilcloud.Parcel{{Name: name, Message: m}}
	})

	person := beginWatch(t, v, "front door", camera.Mark, false)
	eventually(t, "the person reads of it", func() bool { return person.report().rejected > 0 || !person.running() })
	person.stop()
	if r := person.report(); r.shown != 0 || r.rejected == 0 {
		t.Errorf("%d frames shown, %d rejections told; want none and some", r.shown, r.rejected)
	} else if r.err != nil && !errors.Is(r.err, session.ErrNoAnswer) {
		t.Errorf("error %v, want %v", r.err, session.ErrNoAnswer)
	}
}

func bodies(p []evilcloud.Posted) (b [][]byte) {
	for _, x := range p {
		b = append(b, x.Body)
	}
	return b
}

// A stream held back on its way is shown as delayed, and never as live.
func TestHeldBackStreamIsNotLive(t *testing.T) {
	t.Parallel()
	c := startRelay(t)
	c.SetTraffic(evilcloud.Hold)
	camera := startCamera(t, c, "front door", 0)
	v := pair(t, camera)
	s, err := watch(t, v, "front door", camera.Mark, 60, patience, true)
	if err != nil {
		t.Fatal(err)
	}
	if s.frames < 60 || s.foreign != 0 {
		t.Fatalf("%d frames, %d foreign: the test proves nothing", s.frames, s.foreign)
	}

	if s.live != 0 {
		t.Errorf("%d of %d frames that were held back for %s were called live", s.live, s.frames, evilcloud.HeldFor)
	}
}

// Two viewers, and two windows of one viewer, watch at the same time.
func TestSeveralWatchAtOnce(t *testing.T) {
	t.Parallel()
	r := startRelay(t)
	camera := startCamera(t, r, "front door", 0)
	v, w := pair(t, camera), pair(t, camera)
	var all sync.WaitGroup
	for _, viewer := range []watcher{v, v, w} {
		all.Go(func() {
			s, err := watch(t, viewer, "front door", camera.Mark, 30, patience, false)
			if err != nil || s.frames < 30 || s.foreign != 0 || s.rejected != 0 {
				t.Errorf("%+v, %v; want 30 frames", s, err)
			}
		})
	}
	all.Wait()
}

// A viewer that is taken off the roster, by the program or by deleting its file, is cut off at once and cannot come
// back: promise 7.
func TestRemovedViewerIsCutOff(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		remove func(*household, watcher) error
		// frames that may still be shown, at 15 a second: however slow the machine is, the camera is as slow
		most int
	}{
		{"removed", func(h *household, v watcher) error { return h.Remove(v.Fingerprint()) }, 15},
		{"file deleted", func(h *household, v watcher) error {
			return os.Remove(filepath.Join(h.state, "pairs", v.Fingerprint().String()+".json"))
		}, 5 * 15},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := startRelay(t)
			camera := startCamera(t, r, "front door", 0)
			v := pair(t, camera)
			person := beginWatch(t, v, "front door", camera.Mark, false)
			person.sees(t, 1)
			before := person.report().shown
			if err := tt.remove(camera, v); err != nil {
				t.Fatal(err)
			}

			eventually(t, "the viewer is cut off", func() bool {
				return person.report().broke > 0 || !person.running()
			})
			<-time.After(underFault) // it may have been a stall, and the camera looks for its files every two seconds
			cut := person.report().shown
			<-time.After(underFault)
			person.stop()
			if more := person.report().shown; more-before > tt.most || more != cut {
				t.Errorf("a removed viewer was shown %d frames more, %d of them late", more-before, more-cut)
			}

			if s, _ := watch(t, v, "front door", camera.Mark, 1, 3*time.Second, false); s.frames != 0 {
				t.Error("a removed viewer was let in again")
			}
		})
	}
}
