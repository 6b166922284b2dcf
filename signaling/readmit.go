package signaling

import "bytes"

// Readmit replaces the ticket old by another for all mailboxes that old admits. It reconnects, because a mailbox keeps
// its ticket at the relay for as long as the holder of that ticket is connected.
func (c *Client) Readmit(old, ticket []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(old) == 0 || bytes.Equal(old, ticket) {
		return
	}

	for _, k := range c.kept {
		if bytes.Equal(k.mailbox.Ticket, old) {
			k.mailbox.Ticket = ticket
		}
	}
	for _, r := range c.receivers {
		if bytes.Equal(r.mailbox.Ticket, old) {
			r.mailbox.Ticket = ticket
		}
	}
	if c.link != nil {
		c.link.conn.CloseNow()
	}
}
