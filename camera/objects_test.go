package camera

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/bulk"
	"github.com/peephole-cam/peephole/clock"
	"github.com/peephole-cam/peephole/media"
	"github.com/peephole-cam/peephole/redact"
	"github.com/peephole-cam/peephole/test/bubble"
)

// offering is what a camera offers in a test.
type offering struct {
	*objects
	*media.Broadcast
	lines string // the log
}

// newOffering returns a camera's objects: a log, and no picture so far.
func newOffering() *offering {
	o := &offering{Broadcast: media.NewBroadcast(), lines: "camera started\n"}
	o.objects = &objects{
		log:    func() []byte { return []byte(o.lines) },
		stream: still{o.Broadcast},
		now:    func() time.Time { return time.Date(2026, 2, 3, 4, 5, 6, 7, time.FixedZone("", 3600)) },
	}
	return o
}

// show sends an access unit.
func (o *offering) show(data string, keyframe bool) {
	stopped := clock.New(func() time.Duration { return 0 }, func() time.Time { return time.Unix(1e9, 0) })
	o.Send(media.AccessUnit{Data: []byte(data), Keyframe: keyframe, Captured: stopped.Now()})
}

// opened opens an object that must be there.
func (o *offering) opened(t *testing.T, id string, root bulk.Hash) bulk.Object {
	t.Helper()
	object, err := o.Open(t.Context(), id, root)
	if err != nil {
		t.Fatal(err)
	}
	return object
}

// refused opens an object that must not be there.
func (o *offering) refused(t *testing.T, id string, root bulk.Hash, want error) {
	t.Helper()
	if object, err := o.Open(t.Context(), id, root); object != nil || !errors.Is(err, want) {
		t.Errorf("open %q: %v, %v; want %v", id, object, err, want)
	}
}

// contents reads an object and closes it.
func contents(t *testing.T, object bulk.Object) string {
	t.Helper()
	b, err := io.ReadAll(io.NewSectionReader(object, 0, object.Size()))
	if err = errors.Join(err, object.Close()); err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// listed returns what a list has, in short.
func (o *offering) listed(t *testing.T) (all []string) {
	t.Helper()
	list, err := o.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, info := range list {
		all = append(all, fmt.Sprintf("%s %s %d", info.ID, info.Name, info.Size))
	}
	return all
}

const (
	logName     = "peephole-log.20260203T030506Z.txt"
	pictureName = "picture.20260203T030506Z.h264"
)

func TestCameraOffersItsLogAndItsPicture(t *testing.T) {
	o := newOffering()
	if got := o.listed(t); !slices.Equal(got, []string{"log " + logName + " 15"}) {
		t.Errorf("without a picture it offers %q", got)
	}
	o.refused(t, "picture", bulk.Hash{}, bulk.ErrNotFound)

	o.show("lost", false)
	o.show("older", true)
	o.show("key", true)
	o.show("next", false)
	if got := o.listed(t); !slices.Equal(got, []string{"log " + logName + " 15", "picture " + pictureName + " 7"}) {
		t.Errorf("it offers %q", got)
	}
	for id, want := range map[string][2]string{
		"log":     {logName, "camera started\n"},
		"picture": {pictureName, "keynext"},
	} {
		object := o.opened(t, id, bulk.Hash{})
		name, got := object.Name(), contents(t, object)
		if name != want[0] || got != want[1] || bulk.CheckName(name) != nil || redact.Text(name) != name {
			t.Errorf("%s: %q in file %q, want %q", id, got, name, want)
		}
	}

	o.log = nil
	if got := o.listed(t); !slices.Equal(got, []string{"picture " + pictureName + " 7"}) {
		t.Errorf("without a log it offers %q", got)
	}
}

func TestCameraOffersNothingElse(t *testing.T) {
	o := newOffering()
	root := o.opened(t, "log", bulk.Hash{}).Tree().Root()
	for _, id := range []string{"", "Log", "log/", "../log", "identity.key"} {
		o.refused(t, id, bulk.Hash{}, bulk.ErrNotFound)
		o.refused(t, id, root, bulk.ErrNotFound)
	}

	o.log = nil
	o.show("key", true)
	o.Reset() // the input has died
	if got := o.listed(t); got != nil {
		t.Errorf("without a log or a picture it offers %q", got)
	}
}

// A transfer that broke finds the same bytes again, for ten minutes after it was last under way.
func TestSnapshotOutlivesItsTransfer(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		o := newOffering()
		first := o.opened(t, "log", bulk.Hash{})
		root := first.Tree().Root()
		time.Sleep(2 * keepSnapshot) // it is slow
		for range 3 {
			first.Close()
			o.lines += "something happened\n"
			time.Sleep(keepSnapshot - time.Second)
			first = o.opened(t, "log", root)
		}
		if got := contents(t, first); got != "camera started\n" {
			t.Errorf("it goes on with %q", got)
		}

		time.Sleep(keepSnapshot + time.Second)
		o.refused(t, "log", root, bulk.ErrChanged)
		if len(o.snapshots) > 0 {
			t.Errorf("%d snapshots are kept", len(o.snapshots))
		}
	})
}

// However many ask, there are two snapshots of a thing at most. One that is being read stays.
func TestSnapshotsAreBounded(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		o := newOffering()
		o.show("key", true)
		another := func() bulk.Object {
			o.lines += "something happened\n"
			time.Sleep(shareSnapshot)
			return o.opened(t, "log", bulk.Hash{})
		}

		first, second := another(), another()
		time.Sleep(shareSnapshot)
		if shared := o.opened(t, "log", bulk.Hash{}); shared.Tree().Root() != second.Tree().Root() {
			t.Error("with all snapshots taken, something else than the newest is lent")
		} else {
			shared.Close()
		}
		o.opened(t, "picture", bulk.Hash{}).Close() // has room of its own
		again := o.opened(t, "log", second.Tree().Root())
		second.Close()
		second.Close()
		again.Close()

		third := another()
		o.refused(t, "log", second.Tree().Root(), bulk.ErrChanged)
		o.opened(t, "log", first.Tree().Root()).Close()
		o.opened(t, "log", third.Tree().Root()).Close()
		if got := contents(t, first); !strings.HasPrefix(got, "camera started\n") || len(o.snapshots) != 3 {
			t.Errorf("the first one has %q, %d snapshots are kept", got, len(o.snapshots))
		}
	})
}

// Requests that come together share a snapshot. One that comes later gets what is new.
func TestNewSnapshotIsShared(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		o := newOffering()
		first := o.opened(t, "log", bulk.Hash{})
		o.lines = "something happened\n"
		time.Sleep(shareSnapshot - 1)
		if got := contents(t, o.opened(t, "log", bulk.Hash{})); got != "camera started\n" {
			t.Errorf("just after the first request: %q", got)
		}
		time.Sleep(time.Nanosecond)
		if got := contents(t, o.opened(t, "log", bulk.Hash{})); got != "something happened\n" {
			t.Errorf("later: %q", got)
		}
		if got := contents(t, first); got != "camera started\n" {
			t.Errorf("the first request itself: %q", got)
		}
	})
}

// A group of pictures that is too large is cut between two pictures, and begins with its keyframe.
func TestTooLargePictureIsCutAtItsEnd(t *testing.T) {
	o := newOffering()
	o.show("older", true)
	unit := strings.Repeat("x", 3<<20)
	o.show(unit, true)
	o.show(unit, false)
	o.show(unit, false)
	o.show("small, but its reference is missing", false)
	if got := contents(t, o.opened(t, "picture", bulk.Hash{})); got != unit+unit {
		t.Errorf("%d bytes, want %d", len(got), 2*len(unit))
	}

	o.show(strings.Repeat("x", maxPicture+1), true)
	if got := o.listed(t); len(got) != 1 {
		t.Errorf("a picture without room for its keyframe is offered: %q", got)
	}
}

func TestNewestOfALongLogIsOffered(t *testing.T) {
	o := newOffering()
	o.lines = strings.Repeat("old\n", maxLog/4) + strings.Repeat("new\n", maxLog/8)
	if got := contents(t, o.opened(t, "log", bulk.Hash{})); len(got) != maxLog || got != o.lines[len(o.lines)-maxLog:] {
		t.Errorf("%d bytes of %d are offered", len(got), len(o.lines))
	}
}

// Many viewers may ask at once.
func TestObjectsServeManyAtOnce(t *testing.T) {
	o := newOffering()
	o.show("key", true)
	var viewers sync.WaitGroup
	for range 8 {
		viewers.Go(func() {
			for range 50 {
				for id, want := range map[string]string{"log": "camera started\n", "picture": "key"} {
					object, err := o.Open(t.Context(), id, bulk.Hash{})
					if err != nil {
						t.Errorf("open %s: %v", id, err)
						return
					}
					got := make([]byte, len(want))
					if _, err := object.ReadAt(got, 0); err != nil || !bytes.Equal(got, []byte(want)) {
						t.Errorf("%s: %q, %v", id, got, err)
					}
					object.Close()
				}
			}
		})
	}

	viewers.Wait()
	if len(o.snapshots) > 2*snapshotsPerID {
		t.Errorf("%d snapshots are kept", len(o.snapshots))
	}
}

// What a camera offers comes from its Config.
func TestConfigsLogIsOffered(t *testing.T) {
	relay, _ := startServer(t)
	for _, lines := range []string{"", "camera started\n"} {
		cfg := Config{State: t.TempDir(), RelayURL: relay.url}
		if lines != "" {
			cfg.Log = func() []byte { return []byte(lines) }
		}
		c, _ := newCamera(t, cfg)
		list, err := c.newObjects().List(t.Context())
		if err != nil || (lines != "") != (len(list) == 1 && list[0].Size == int64(len(lines))) {
			t.Errorf("with the log %q it offers %v, %v", lines, list, err)
		}
	}
}
