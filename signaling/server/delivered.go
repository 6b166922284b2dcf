package server

import (
	"fmt"
	"regexp"
	"sync"
	"sync/atomic"
	"time"

	"github.com/peephole-cam/peephole/signaling"
)

const (
	// deliveredKept bounds the deliveries that a connection remembers. A client has fewer under way, since it judges
	// each as it reads it.
	deliveredKept = 128
	// rejectInterval and rejectBurst bound what one source address, which may lie, can add to the counters.
	rejectInterval = time.Second
	rejectBurst    = 32
	// OtherNode is the counters' name for all nodes that are not configured.
	OtherNode = "other"
)

// delivered remembers a client's latest deliveries and where they were posted, so that the client can reject each of
// them once, and nothing else.
type delivered struct {
	mu   sync.Mutex
	last []delivery // guarded by mu; a ring once it is full
	next int        // guarded by mu
}

type delivery struct {
	name [8]byte // the first bytes of the mailbox's name
	seq  uint64
	node string
	said bool // the client has rejected it
}

func newDelivery(name signaling.Name, seq uint64, node string) delivery {
	return delivery{name: [8]byte(name[:8]), seq: seq, node: node}
}

func (d *delivered) remember(name signaling.Name, seq uint64, node string) {
	d.mu.Lock()
	defer d.mu.Unlock()

	one := newDelivery(name, seq, node)
	if len(d.last) < deliveredKept {
		d.last = append(d.last, one)
		return
	}
	d.last[d.next] = one
	d.next = (d.next + 1) % deliveredKept
}

// markRejected returns where a delivered message was posted. It returns false if the message was not delivered, or was
// rejected before.
func (d *delivered) markRejected(name signaling.Name, seq uint64) (node string, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()

	for i := range d.last {
		if e := &d.last[i]; e.name == [8]byte(name[:8]) && e.seq == seq && !e.said {
			e.said = true
			return e.node, true
		}
	}

	return "", false
}

var nodeName = regexp.MustCompile(`^[0-9A-Za-z._:-]{1,253}$`)

// CheckNode returns an error for an invalid name of a node. The name appears in metrics and in messages between nodes.
func CheckNode(name string) error {
	if !nodeName.MatchString(name) || name == OtherNode {
		return fmt.Errorf("node %q: want a name of letters, digits and . _ : - that is not %q", name, OtherNode)
	}
	return nil
}

// newRejected returns the counters of all nodes. They are made once, so nothing that arrives can add another.
func newRejected(nodes ...string) map[string]*atomic.Int64 {
	r := map[string]*atomic.Int64{OtherNode: new(atomic.Int64)}
	for _, n := range nodes {
		r[n] = new(atomic.Int64)
	}
	return r
}

// reject counts a client's statement that a message does not belong in its mailbox. Only the client can know, because
// the relay is blind.
func (c *conn) reject(f signaling.Reject, now time.Time) {
	node, ok := c.delivered.markRejected(f.Name, f.Seq)
	if !ok || c.server.rejects.Charge(c.address.payer, 1, now) != nil && c.address.class != c.server.local {
		c.server.Stats.RejectsIgnored.Add(1)
		return
	}

	if c.server.Stats.Rejected[node] == nil {
		node = OtherNode
	}
	c.server.Stats.Rejected[node].Add(1)
	c.server.cfg.Logger.Debug("a client rejected a delivery", "posted", node, "delivered", c.server.cfg.Node)
}
