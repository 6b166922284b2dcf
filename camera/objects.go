package camera

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/peephole-cam/peephole/bulk"
)

// The IDs of what a camera offers.
const (
	logID     = "log"
	pictureID = "picture"
)

const (
	// maxLog and maxPicture bound what is offered, in bytes: the newest of a log, and the first pictures of a group.
	maxLog     = 1 << 20
	maxPicture = 8 << 20

	// snapshotsPerID is how many snapshots of one thing there are at a time.
	snapshotsPerID = 2
	// keepSnapshot is how long a snapshot that nobody reads is kept, unless a newer one needs its place: a transfer
	// that broke can then go on.
	keepSnapshot = 10 * time.Minute
	// shareSnapshot is how old a snapshot may be that serves another request too.
	shareSnapshot = 2 * time.Second
)

// objects is what a camera offers to fetch: its log, if its Config has one, and its current group of pictures, if there
// is one. It implements bulk.Source.
//
// Both change all the time, so what is sent is a snapshot. There are at most snapshotsPerID of each, which bounds
// the memory that all viewers together can take.
type objects struct {
	log    func() []byte // nil: none is offered
	stream Stream
	now    func() time.Time // dates the files

	taking sync.Mutex // held while a snapshot is taken: one at a time

	// mu guards what follows, and all fields of the snapshots that change.
	mu        sync.Mutex
	snapshots []*snapshot // in the order in which they were taken
}

// snapshot is what one thing was at one time.
type snapshot struct {
	bulk.Object
	id    string
	taken time.Time
	open  int         // how many read it now
	old   *time.Timer // forgets it; runs while nobody reads it
}

// newObjects returns what the camera offers, for the Offered of a session.CameraConfig. All sessions of all viewers
// share one, so that a transfer that broke goes on with the same bytes in another session: New calls this once.
func (c *Camera) newObjects() *objects {
	return &objects{log: c.cfg.Log, stream: c.cfg.Stream, now: c.clock.Now}
}

// List implements bulk.Source. It returns no error.
func (o *objects) List(context.Context) (all []bulk.Info, err error) {
	for _, id := range []string{logID, pictureID} {
		name, parts := o.read(id)
		if parts == nil {
			continue
		}
		size := 0
		for _, part := range parts {
			size += len(part)
		}
		all = append(all, bulk.Info{ID: id, Name: name, Size: int64(size)})
	}

	return all, nil
}

// Open implements bulk.Source. While all snapshots are being read, it lends the newest of them. Errors:
// bulk.ErrNotFound, and bulk.ErrChanged if the snapshot of that root is no longer kept.
func (o *objects) Open(_ context.Context, id string, root bulk.Hash) (bulk.Object, error) {
	o.taking.Lock()
	defer o.taking.Unlock()
	if kept := o.lendKept(id, root); kept != nil {
		return kept, nil
	}

	if !root.IsZero() && (id == logID || id == pictureID) {
		return nil, fmt.Errorf("open %q: %w", id, bulk.ErrChanged)
	}
	if !o.makeRoom(id) {
		return o.lendNewest(id), nil // whoever reads slowly keeps nobody out
	}
	name, parts := o.read(id)
	if parts == nil {
		return nil, fmt.Errorf("open %q: %w", id, bulk.ErrNotFound)
	}

	s := &snapshot{Object: bulk.NewBytes(name, slices.Concat(parts...)), id: id, taken: time.Now()}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.snapshots = append(o.snapshots, s)
	return o.lend(s), nil
}

// read returns the parts that one thing has now, and what a file of it may be called. Parts are nil if there is no such
// thing.
func (o *objects) read(id string) (name string, parts [][]byte) {
	// After a dot, since 22 or more of the other characters would look like a secret (package redact).
	const utc = ".20060102T150405Z"
	switch {
	case id == logID && o.log != nil:
		lines := o.log()
		lines = lines[max(len(lines)-maxLog, 0):]
		return "peephole-log" + o.now().UTC().Format(utc) + ".txt", [][]byte{lines}
	case id == pictureID:
		return "picture" + o.now().UTC().Format(utc) + ".h264", o.currentGroup()
	}
	return "", nil
}

// currentGroup returns the pictures of the current group so far, or as many of its first ones as maxPicture allows:
// they can be decoded without those that follow. It returns nil if there is no group.
func (o *objects) currentGroup() (units [][]byte) {
	subscription := o.stream.Subscribe()
	defer subscription.Close()
	size := 0
	for unit, ok := subscription.Waiting(); ok; unit, ok = subscription.Waiting() {
		if unit.Keyframe {
			units, size = nil, 0
		}
		if size += len(unit.Data); size <= maxPicture { // once it is larger it stays so
			units = append(units, unit.Data)
		}
	}

	return units
}

// lendKept lends the newest snapshot that serves a request: the one with that root, or one that is new enough if root
// is zero. It returns nil if there is none.
func (o *objects) lendKept(id string, root bulk.Hash) bulk.Object {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, s := range slices.Backward(o.snapshots) {
		serves := s.Tree().Root() == root
		if root.IsZero() {
			serves = time.Since(s.taken) < shareSnapshot
		}
		if s.id == id && serves {
			return o.lend(s)
		}
	}
	return nil
}

// lendNewest lends the newest snapshot with that ID. There must be one.
func (o *objects) lendNewest(id string) bulk.Object {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, s := range slices.Backward(o.snapshots) {
		if s.id == id {
			return o.lend(s)
		}
	}
	panic("no snapshot of " + id) // makeRoom found two
}

// makeRoom forgets the oldest snapshot of one thing that nobody reads, if there is no room for another. It reports
// whether there is room now.
func (o *objects) makeRoom(id string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	n, oldest := 0, -1
	for i, s := range slices.Backward(o.snapshots) {
		if s.id != id {
			continue
		}
		if n++; s.open == 0 {
			oldest = i
		}
	}

	if n < snapshotsPerID {
		return true
	}
	if oldest < 0 {
		return false
	}
	o.snapshots[oldest].old.Stop()
	o.snapshots = slices.Delete(o.snapshots, oldest, oldest+1)
	return true
}

// lend returns a snapshot to somebody who closes it. mu must be held.
func (o *objects) lend(s *snapshot) bulk.Object {
	if s.open++; s.old != nil {
		s.old.Stop()
	}
	return &lent{s, sync.OnceFunc(func() { o.giveBack(s) })}
}

// giveBack undoes lend.
func (o *objects) giveBack(s *snapshot) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if s.open--; s.open == 0 {
		s.old = time.AfterFunc(keepSnapshot, func() { o.forget(s) })
	}
}

// forget forgets a snapshot, unless somebody reads it again.
func (o *objects) forget(s *snapshot) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if s.open == 0 {
		o.snapshots = slices.DeleteFunc(o.snapshots, func(other *snapshot) bool { return other == s })
	}
}

// lent is a snapshot that somebody reads.
type lent struct {
	*snapshot
	giveBack func()
}

// Close implements bulk.Object.
func (l *lent) Close() error {
	l.giveBack()
	return nil
}
