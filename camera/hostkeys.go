package camera

import (
	"crypto/ed25519"
	"errors"
	"io/fs"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/peephole-cam/peephole/crypto/identity"
	"github.com/peephole-cam/peephole/session"
)

const (
	// earlierSeedLife is how long the names of before a viewer's removal are announced at most.
	earlierSeedLife = 30 * 24 * time.Hour

	// maxEarlierSeeds is how many earlier seeds are announced at most. Each costs a listener.
	maxEarlierSeeds = 3
)

// hostKeys are the keys by which the camera goes on its LAN and at circuit relays, and the list of them that its
// viewers hold. Two promises keep a removed viewer from knowing more names than it knew:
//
//   - A list goes out only once the disk says who holds it. So nobody is forgotten, even by a camera that is switched
//     off between a removal and the next start.
//   - When somebody who holds a list of the seed is gone, there is another seed. Lists of it go to the others alone.
type hostKeys struct {
	path   string
	relays []string
	log    *slog.Logger
	turned chan struct{} // holds one token when today returns other keys because of a viewer

	mu    sync.Mutex // held while the file is written: lists are rare
	state hostState  // guarded by mu
	due   bool       // guarded by mu; state is not on disk
	told  bool       // guarded by mu; the log says that it could not be written
}

// openHostKeys reads the camera's host seeds, or makes a new one. It returns an error for a file of a newer version. Of
// a file that cannot be read it makes a new one: viewers learn the new list in their next session.
func openHostKeys(cfg Config, now time.Time) (*hostKeys, error) {
	k := &hostKeys{
		path:   filepath.Join(cfg.State, hostsFileName),
		relays: cfg.P2PRelays,
		log:    cfg.Logger,
		turned: make(chan struct{}, 1),
	}
	state, err := readHostState(k.path)
	if errors.Is(err, errHostsFileNewer) {
		return nil, err
	}
	if err == nil {
		k.state = state
		return k, nil
	}

	if !errors.Is(err, fs.ErrNotExist) {
		k.log.Warn("the LAN keys cannot be read, and are made anew: viewers find this camera without the relay again "+
			"after their next session", "err", err)
	}
	k.state = hostState{seed: newHostSeed(), since: now}
	k.due = true
	k.write()
	return k, nil
}

// today returns the keys by which the camera goes today: that of the seed first, then those of earlier seeds, the
// newest first. There are at most four.
func (k *hostKeys) today(now time.Time) []ed25519.PrivateKey {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.expire(now)
	keys := []ed25519.PrivateKey{k.state.seed.key(k.state.seed.day(now))}
	for _, e := range k.state.earlier {
		keys = append(keys, e.seed.key(e.seed.day(now)))
	}
	return keys
}

// listFor returns the host list for a viewer, or nil if the one that it holds will do: held is that list's version. A
// viewer that holds one of the present seed waits for no earlier name any more. listFor also returns nil once removed
// is closed, or when it cannot be written down that the viewer has a list.
func (k *hostKeys) listFor(viewer Fingerprint, held []byte, removed <-chan struct{}, now time.Time) *session.HostList {
	k.mu.Lock()
	defer k.mu.Unlock()
	select {
	case <-removed: // forget has been called, or waits for mu and will find what is decided here
		return nil
	default:
	}

	holds := k.state.seed.made(held, k.relays)
	if holds {
		k.due = k.stopWaiting(viewer) || k.due
	}
	if !slices.Contains(k.state.holders, viewer) {
		k.state.holders, k.due = append(k.state.holders, viewer), true
	}

	if k.write(); k.due || holds && k.state.seed.lasts(held, now) {
		return nil
	}
	list := k.state.seed.list(now, k.relays)
	return &list
}

// stopWaiting takes a viewer off those who wait for earlier names, and drops the seeds for which nobody waits any more.
// It reports whether that changed anything. k.mu must be held.
func (k *hostKeys) stopWaiting(viewer Fingerprint) (changed bool) {
	for i := range k.state.earlier {
		e := &k.state.earlier[i]
		if at := slices.Index(e.waiting, viewer); at >= 0 {
			e.waiting, changed = slices.Delete(e.waiting, at, at+1), true
		}
	}

	before := len(k.state.earlier)
	k.state.earlier = slices.DeleteFunc(k.state.earlier, func(e earlierSeed) bool { return len(e.waiting) == 0 })
	if len(k.state.earlier) < before {
		k.turn()
	}
	return changed
}

// forget handles the removal of a viewer. If that viewer holds a list of the present seed, a new seed takes its place.
func (k *hostKeys) forget(viewer Fingerprint, now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.due = k.stopWaiting(viewer) || k.due
	if at := slices.Index(k.state.holders, viewer); at >= 0 {
		k.state.holders = slices.Delete(k.state.holders, at, at+1)
		k.rotate(now)
	}
	k.write()
}

// rotate makes a new seed. The names of the old one are announced for those who hold its list. k.mu must be held.
func (k *hostKeys) rotate(now time.Time) {
	old := earlierSeed{k.state.seed, now.Add(earlierSeedLife), k.state.holders}
	if len(old.waiting) > 0 {
		k.state.earlier = slices.Insert(k.state.earlier, 0, old)
	}
	if len(k.state.earlier) > maxEarlierSeeds {
		k.state.earlier = k.state.earlier[:maxEarlierSeeds]
	}

	k.state.seed, k.state.since, k.state.holders = newHostSeed(), now, nil
	k.due = true
	k.turn()
}

// turn says that today returns other keys now.
func (k *hostKeys) turn() {
	select {
	case k.turned <- struct{}{}:
	default:
	}
}

// viewers returns everybody who holds a list, or may still hold one.
func (k *hostKeys) viewers() []Fingerprint {
	k.mu.Lock()
	defer k.mu.Unlock()
	all := slices.Clone(k.state.holders)
	for _, e := range k.state.earlier {
		all = append(all, e.waiting...)
	}
	return all
}

// keep drops earlier seeds whose time is over, and writes what is not on disk yet.
func (k *hostKeys) keep(now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.expire(now)
	k.write()
}

// expire drops earlier seeds whose time is over. An end that is too far ahead was set by a wrong clock, and is brought
// closer. k.mu must be held.
func (k *hostKeys) expire(now time.Time) {
	latest := now.Add(earlierSeedLife)
	for i := range k.state.earlier {
		if e := &k.state.earlier[i]; e.until.After(latest) {
			e.until, k.due = latest, true
		}
	}

	before := len(k.state.earlier)
	k.state.earlier = slices.DeleteFunc(k.state.earlier, func(e earlierSeed) bool { return !e.until.After(now) })
	k.due = k.due || len(k.state.earlier) < before
}

// write writes the state, if that is due. It says in the log once that it could not. k.mu must be held.
func (k *hostKeys) write() {
	if !k.due {
		return
	}
	b, err := k.state.encode()
	if err == nil {
		err = identity.WriteFile(k.path, b)
	}

	k.due = err != nil
	if err != nil && !k.told {
		k.log.Warn("the LAN keys cannot be kept on disk: make room there, or make it writable. Until then no viewer "+
			"learns by which names to find this camera without the relay", "err", err)
	}
	k.told = err != nil
}
