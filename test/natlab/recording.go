//go:build linux

package natlab

import (
	"net/netip"
	"sync"
	"testing"
	"time"
)

// A Packet is one entry of a Recording.
type Packet struct {
	At       time.Time
	Out      bool // whether it left
	Protocol uint8
	Src, Dst netip.AddrPort // port 0 if the protocol has none, and for fragments
	Data     []byte         // from the IP header on
}

// A Recording keeps, in memory, what passes an interface.
type Recording struct {
	t       testing.TB
	mu      sync.Mutex
	packets []Packet
	bytes   int
	missed  int
	drain   func() error // reads what waits in the kernel; nil: nothing waits anywhere
	workers sync.WaitGroup
}

// recordingLimit bounds the memory of one recording, in bytes.
const recordingLimit = 256 << 20

// Packets returns the packets so far. A recording that missed one proves nothing, and ends the test.
func (r *Recording) Packets() []Packet {
	r.t.Helper()
	if r.drain != nil {
		if err := r.drain(); err != nil {
			r.t.Fatalf("natlab: record packets: %v", err)
		}
	}

	r.mu.Lock()
	defer r.mu.Unlock()
	if r.missed > 0 {
		r.t.Fatalf("natlab: a recording missed %d packets", r.missed)
	}
	return append([]Packet(nil), r.packets...)
}

func (r *Recording) add(out bool, data []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.bytes += len(data); r.bytes > recordingLimit {
		r.missed++
		return
	}
	h, _ := parse(data)
	r.packets = append(r.packets, Packet{time.Now(), out, h.protocol, h.src, h.dst, data})
}

func (r *Recording) miss(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.missed += n
}
