package server

import (
	"fmt"
	"net/netip"
	"regexp"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/peephole-cam/peephole/signaling"
)

const (
	// deliveredKept bounds what a connection remembers: more than a client has under way, for it judges as it reads.
	deliveredKept = 128
	// rejectEvery and rejectsAtOnce bound what one source address can add to the counters: a client that lies can do no more.
	rejectEvery   = time.Second
	rejectsAtOnce = 32
	// OtherNode stands in the counters for every node that this one was not told of.
	OtherNode = "other"
)

// delivered remembers the last messages that a client was given and where they were posted, so that each can be rejected once, and
// nothing else can.
type delivered struct {
	mu   sync.Mutex
	last []delivery // guarded by mu; a ring once it is full
	next int        // guarded by mu
}

type delivery struct {
	name signaling.Name
	seq  uint64
	node string
	said bool // the client has rejected it
}

func (d *delivered) add(name signaling.Name, seq uint64, node string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	one := delivery{name: name, seq: seq, node: node}
	if len(d.last) < deliveredKept {
		d.last = append(d.last, one)
		return
	}
	d.last[d.next] = one
	d.next = (d.next + 1) % deliveredKept
}

// reject says where a message was posted that was delivered and not rejected yet.
func (d *delivered) reject(name signaling.Name, seq uint64) (node string, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range d.last {
		if e := &d.last[i]; e.name == name && e.seq == seq && !e.said {
			e.said = true
			return e.node, true
		}
	}
	return "", false
}

var nodeName = regexp.MustCompile(`^[0-9A-Za-z._:-]{1,253}$`)

// CheckNode says what is wrong with a node's name: it stands in metrics and in messages between nodes.
func CheckNode(name string) error {
	if !nodeName.MatchString(name) || name == OtherNode {
		return fmt.Errorf("node %q: want a name of letters, digits and . _ : - that is not %q", name, OtherNode)
	}
	return nil
}

// newRejected makes the counters of the nodes that may be named. It is done once, so nothing that arrives can add one.
func newRejected(nodes ...string) map[string]*atomic.Int64 {
	r := map[string]*atomic.Int64{OtherNode: new(atomic.Int64)}
	for _, n := range nodes {
		r[n] = new(atomic.Int64)
	}
	return r
}

// reject counts a client's word that a message is none of its mailbox's. Nobody else can know: the relay is blind.
func (c *conn) reject(f signaling.Reject, now time.Time) {
	node, ok := c.delivered.reject(f.Name, f.Seq)
	if !ok || !c.server.mayReject(c.addr, now) {
		c.server.Stats.RejectsIgnored.Add(1)
		return
	}
	if c.server.Stats.Rejected[node] == nil {
		node = OtherNode
	}
	c.server.Stats.Rejected[node].Add(1)
	c.server.cfg.Logger.Debug("a client rejected a delivery", "posted", node, "delivered", c.server.cfg.Node)
}

// mayReject says whether one more rejection of an address counts.
func (s *Server) mayReject(addr netip.Addr, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.perAddr[addr]
	if u == nil {
		return false
	}
	if u.rejects == nil {
		u.rejects = rate.NewLimiter(rate.Every(rejectEvery), rejectsAtOnce)
	}
	return u.rejects.AllowN(now, 1) || addr.IsLoopback()
}

// idle says whether nothing is known of the address that a new one would not know: who comes back at once cannot begin anew.
func (u *usage) idle(now time.Time) bool {
	return u.conns == 0 && (u.rejects == nil || u.rejects.TokensAt(now) >= rejectsAtOnce)
}
