package signaling

// receiver handles the messages of one mailbox.
type receiver struct {
	mailbox Mailbox
	handle  func(Delivery) (done bool)
}

// Receive opens mb for reading, now and after every reconnect, until stop is called. The client's one reading goroutine
// calls handle for each message, in order, so handle must not block for long. One more call may be under way while stop
// is called. If handle returns true, the relay deletes the message; otherwise the message arrives again on the next
// connection. A mailbox has one receiver: a second one replaces the first.
func (c *Client) Receive(mb Mailbox, handle func(Delivery) (done bool)) (stop func()) {
	name, r := mb.Name(), &receiver{mb, handle}
	c.mu.Lock()
	defer c.mu.Unlock()

	c.receivers[name] = r
	c.openForReading(name)
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.receivers[name] == r {
			delete(c.receivers, name)
			c.closeUnwanted(name)
		}
	}
}

// openForReading opens a mailbox on the current link, if there is one and the mailbox has a receiver and is not
// resting. c.mu must be held.
func (c *Client) openForReading(name Name) {
	if r := c.receivers[name]; r != nil && c.link != nil && !c.resting[name] {
		c.link.openMailbox(r.mailbox, Read)
	}
}

func (c *Client) deliver(l *link, f Deliver) {
	c.mu.Lock()
	r := c.receivers[f.Name]
	c.mu.Unlock()
	if r == nil {
		return
	}

	d := NewDelivery(f.Body, func() { l.send(Reject{f.Name, f.Seq}) })
	if r.handle(d) {
		l.send(Ack{f.Name, f.Seq})
	}
}

// closeUnwanted closes a mailbox unless it still has a receiver or is kept. c.mu must be held.
func (c *Client) closeUnwanted(name Name) {
	if c.link != nil && c.receivers[name] == nil && c.kept[name] == nil {
		c.link.forgetRefusal(name)
		c.link.send(Close{name})
	}
}
