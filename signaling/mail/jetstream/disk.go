package jetstream

import (
	"fmt"
	"sync"
	"time"
)

const (
	// minFree is the space on the disk below which nothing more is stored. JetStream gives up on a disk that is full,
	// and needs room to tidy up before it starts again.
	minFree = 16 << 20

	// freeInterval is how long a look at the disk is good for.
	freeInterval = 250 * time.Millisecond
)

var errLittleRoom = fmt.Errorf("less than %d MiB are free", minFree>>20)

// freeSpace looks whether there is space on the disk of a folder.
type freeSpace struct {
	dir string

	mu   sync.Mutex
	at   time.Time // guarded by mu; when the disk was looked at
	full bool      // guarded by mu
}

// enough reports whether there is at least minFree, as far as can be found out.
func (f *freeSpace) enough() bool {
	f.mu.Lock()
	defer f.mu.Unlock()

	if now := time.Now(); now.Sub(f.at) >= freeInterval {
		n, err := freeBytes(f.dir)
		f.at, f.full = now, err == nil && n < minFree
	}
	return !f.full
}
