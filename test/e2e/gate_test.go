package e2e

import (
	"context"
	"net/netip"
	"sync"
	"testing"
	"time"
)

// gate delays media on its way to clients, and keeps its order.
type gate struct {
	mu    sync.Mutex
	delay func(now time.Time) time.Duration // guarded by mu; nil: none
	held  chan heldPacket
}

// heldPacket is one that waits.
type heldPacket struct {
	due    time.Time
	packet []byte
	to     netip.AddrPort
}

// hold delays media, from now on, by what delay returns for the time of its arrival. With nil, media is not delayed,
// but still goes behind what already waits.
func (f *turnFront) hold(t *testing.T, delay func(now time.Time) time.Duration) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.gate == nil {
		f.gate = &gate{held: make(chan heldPacket, 1<<15)}
		run(t, f.release)
	}

	f.gate.mu.Lock()
	defer f.gate.mu.Unlock()
	f.gate.delay = delay
}

// enter queues a packet; a full gate drops it.
func (g *gate) enter(packet []byte, to netip.AddrPort) {
	g.mu.Lock()
	defer g.mu.Unlock()
	due := time.Now()
	if g.delay != nil {
		due = due.Add(g.delay(due))
	}

	select {
	case g.held <- heldPacket{due, packet, to}:
	default:
	}
}

// release sends packets when they are due, until ctx ends.
func (f *turnFront) release(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case p := <-f.gate.held:
			timer.Reset(time.Until(p.due))
			select {
			case <-ctx.Done():
				return nil
			case <-timer.C:
			}
			_, _ = f.front.WriteToUDPAddrPort(p.packet, p.to) // closed when the test ends
		}
	}
}

// frameCount counts the frames that reach a front from cameras, by their RTP timestamps.
type frameCount struct {
	mu    sync.Mutex
	stamp map[[4]byte]bool // guarded by mu
}

// countFrames starts counting at a front.
func countFrames(f *turnFront) *frameCount {
	c := &frameCount{stamp: make(map[[4]byte]bool)}
	f.rule(func(to *turnClient, rtp []byte) [][]byte {
		if to.viewer {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.stamp[[4]byte(rtp[4:8])] = true
		}
		return [][]byte{rtp}
	})

	return c
}

func (c *frameCount) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.stamp)
}
