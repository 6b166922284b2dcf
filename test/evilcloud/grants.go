package evilcloud

import (
	"sync"
	"sync/atomic"

	"github.com/peephole-cam/peephole/signaling"
)

// Grants is a fault of granting ICE servers: it gets what is granted now, and what was granted to another session
// before, at another node if there is one, and returns what is handed out.
type Grants func(now, before signaling.Grant) signaling.Grant

// SwapCredentials gives the viewer another session's credentials; its camera gets its own.
func SwapCredentials(now, before signaling.Grant) signaling.Grant {
	now.Viewer = before.Viewer
	return now
}

// SwapServers gives both ends another node's list of ICE servers, with their own credentials.
func SwapServers(now, before signaling.Grant) signaling.Grant {
	now.URLs = before.URLs
	return now
}

// ShareGrants gives several sessions one grant, so that two households are one session to the TURN server.
func ShareGrants(_, before signaling.Grant) signaling.Grant { return before }

// office knows what all nodes have granted.
type office struct {
	fault   atomic.Pointer[Grants]
	changed atomic.Int64

	mu   sync.Mutex
	last map[*node]signaling.Grant // guarded by mu
}

func newOffice() *office { return &office{last: make(map[*node]signaling.Grant)} }

func (o *office) set(f Grants) {
	if f == nil {
		o.fault.Store(nil)
		return
	}
	o.fault.Store(&f)
}

// begin records that a node starts, for the first time or with other keys. first is a grant there for somebody who does
// not matter any more.
func (o *office) begin(n *node, first signaling.Grant) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.last[n] = first
}

// issue hands out what a node grants.
func (o *office) issue(n *node, now signaling.Grant) signaling.Grant {
	o.mu.Lock()
	before, ok := o.last[n]
	for other, g := range o.last {
		if other != n {
			before, ok = g, true
		}
	}

	f := o.fault.Load()
	if f == nil || !ok {
		o.last[n] = now
	}
	o.mu.Unlock()
	if f == nil || !ok {
		return now
	}

	o.changed.Add(1)
	return (*f)(now, before)
}
