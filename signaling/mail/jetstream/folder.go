package jetstream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"

	"github.com/peephole-cam/peephole/signaling/mail"
)

// Config is what a store in a folder needs.
type Config struct {
	Dir        string // is made if it does not exist
	MaxBytes   int64  // of all messages that wait; their files may take twice that for some seconds
	SyncAlways bool   // write every message through to the disk before it is acknowledged
	Logger     *slog.Logger
}

// folder is a place on this machine's disk.
type folder struct {
	cfg    Config
	unlock func()
	free   freeSpace

	mu    sync.RWMutex
	node  *node // guarded by mu; nil while JetStream does not run
	cause error // guarded by mu; why there is no node
}

// ErrNoRoom is returned by Open if nothing can be written in the folder: its disk is full or read-only.
var ErrNoRoom = errors.New("nothing can be stored there")

// Open opens the store in a folder, which one process alone may use at a time. Open waits a few seconds for another
// that is about to end. On a disk that has become full, it opens what is there.
func Open(cfg Config) (*Store, error) {
	unlock, err := lock(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("open stored messages: %w", err)
	}

	s := newStore(cfg.Logger)
	f := &folder{cfg: cfg, unlock: unlock, free: freeSpace{dir: cfg.Dir}}
	if f.node, err = startNode(s.done, cfg); err != nil {
		if !f.free.enough() {
			err = fmt.Errorf("%w: %w: %w", ErrNoRoom, errLittleRoom, err)
		}
		s.close()
		unlock()
		return nil, fmt.Errorf("open stored messages in %s: %w", cfg.Dir, err)
	}
	return s.run(f), nil
}

// current implements place.
func (f *folder) current() (*node, error) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if f.node == nil {
		return nil, fmt.Errorf("%w: start JetStream in %s: %w", mail.ErrUnavailable, f.cfg.Dir,
			cmp.Or(f.cause, net.ErrClosed))
	}
	return f.node, nil
}

// writable implements place. It wants space on the disk.
func (f *folder) writable() (*node, error) {
	if !f.free.enough() {
		return nil, fmt.Errorf("%w: %w in %s", mail.ErrUnavailable, errLittleRoom, f.cfg.Dir)
	}
	return f.current()
}

// tend implements place. It starts JetStream anew if it does not run, or can write no more, as after its disk was full,
// and the disk has space. Meanwhile there is no node.
func (f *folder) tend(done context.Context) {
	f.mu.Lock()
	old := f.node
	if old != nil && old.healthy() || !f.free.enough() {
		f.mu.Unlock()
		return
	}
	f.node, f.cause = nil, errRestarting
	f.mu.Unlock()

	if old != nil {
		old.stop()
	}
	started, err := startNode(done, f.cfg)

	f.mu.Lock()
	defer f.mu.Unlock()
	f.node, f.cause = started, err
}

// errRestarting is why there is no node while one starts.
var errRestarting = errors.New("it is being restarted")

// stop implements place.
func (f *folder) stop() {
	f.mu.Lock()
	n := f.node
	f.node = nil
	f.mu.Unlock()

	if n != nil {
		n.stop()
	}
	f.unlock()
}
