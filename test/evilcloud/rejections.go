package evilcloud

import (
	"maps"
	"sync"

	"github.com/peephole-cam/peephole/signaling/server"
)

// rejections are a node's counters of deliveries that could not be opened. They survive restarts.
type rejections struct {
	mu     sync.Mutex
	stats  *server.Stats    // guarded by mu; since the last restart
	before map[string]int64 // by the node where they were posted; guarded by mu
}

// begin keeps the counts until now and starts others.
func (r *rejections) begin(stats *server.Stats) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.before, r.stats = r.sum(), stats
}

// sum adds both; r.mu must be held.
func (r *rejections) sum() map[string]int64 {
	all := make(map[string]int64)
	maps.Copy(all, r.before)
	if r.stats != nil {
		for node, n := range r.stats.Rejected {
			all[node] += n.Load()
		}
	}

	return all
}

// Rejected counts the deliveries that their receivers could not open, as the nodes' metrics do: by the node where they
// were posted and the one that delivered them ("node-0", "node-1", …), without the zeros. Restarts do not reset it.
func (c *Cloud) Rejected() map[[2]string]int64 {
	all := make(map[[2]string]int64)
	for _, n := range c.nodes {
		n.rejections.mu.Lock()
		for posted, count := range n.rejections.sum() {
			if count > 0 {
				all[[2]string{posted, n.name}] = count
			}
		}
		n.rejections.mu.Unlock()
	}

	return all
}
