package signaling

import (
	"time"

	"github.com/peephole-cam/peephole/printable"
)

// replacedRest is how long a client leaves a mailbox alone after another connection has replaced it as a reader.
// Otherwise two devices, or a device and its own earlier connection, would take the mailbox from each other for ever.
const replacedRest = 30 * time.Second

// handleClosed notes that the relay delivers nothing more from a mailbox on l. If the mailbox is still wanted after a
// rest, the client opens it again.
func (c *Client) handleClosed(l *link, f Closed) {
	c.mu.Lock()
	wanted := c.receivers[f.Name] != nil && c.link == l && !c.resting[f.Name]
	if wanted {
		c.resting[f.Name] = true
		time.AfterFunc(replacedRest, func() { c.endRest(f.Name) })
	}
	c.mu.Unlock()

	if wanted {
		c.reportRefusal(&Error{f.Code, printable.Text(f.Text)})
	}
}

func (c *Client) endRest(name Name) {
	c.mu.Lock()
	defer c.mu.Unlock()

	delete(c.resting, name)
	c.openForReading(name)
}
