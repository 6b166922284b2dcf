package signaling

import "time"

const (
	urgentFor      = time.Minute
	redialInterval = 500 * time.Millisecond
	probeTimeout   = 600 * time.Millisecond
	moveTimeout    = 600 * time.Millisecond
)

// Probe tells the client that somebody is waiting for the relay, because media stalled or the network changed. The
// client abandons a connection that does not answer within moments. Until it reaches the relay, but for at most a
// minute, it dials every half second instead of after a backoff that is meant for thousands of idle clients.
func (c *Client) Probe() {
	c.mu.Lock()
	c.urgentUntil = time.Now().Add(urgentFor)
	l := c.link
	c.mu.Unlock()

	signal(c.dialNow)
	if l != nil {
		signal(l.probe)
	}
}

// Redial is like Probe, but for a device whose addresses have changed: it moves the connection to the new network, or
// replaces it, without checking whether the old one still works. It also begins a call of [ClientConfig].Dial anew.
func (c *Client) Redial() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.urgentUntil = time.Now().Add(urgentFor)
	signal(c.dialNow)
	if c.link != nil {
		c.link.redial()
	}
	if c.dialAnew != nil {
		c.dialAnew()
	}
}

// urgent reports whether somebody is waiting for the relay.
func (c *Client) urgent() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Before(c.urgentUntil)
}
