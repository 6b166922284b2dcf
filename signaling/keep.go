package signaling

import "sync"

// keptMailbox is a mailbox that is kept open for writing while it has holders.
type keptMailbox struct {
	mailbox Mailbox
	number  uint64 // higher for those that were kept later
	holders int
}

// Keep keeps mb open for writing, with its ticket and over reconnects, until stop is called. It is for the owner who
// admits a mailbox, and for senders of more than one message. Every Keep needs its own stop.
func (c *Client) Keep(mb Mailbox) (stop func()) {
	name := mb.Name()
	c.mu.Lock()
	defer c.mu.Unlock()

	k := c.kept[name]
	if k == nil {
		c.lastKept++
		k = &keptMailbox{mailbox: mb, number: c.lastKept}
		c.kept[name] = k
		if c.link != nil {
			c.link.openMailbox(mb, Write)
		}
	}
	k.holders++

	return sync.OnceFunc(func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if k.holders--; k.holders == 0 {
			delete(c.kept, name)
			c.closeUnwanted(name)
		}
	})
}
