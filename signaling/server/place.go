package server

import "github.com/peephole-cam/peephole/signaling"

// claimPlace tells Config.Place that the client has shown the key of a mailbox, and who pays for the connection: its
// address, or the first ticket that it shows. A connection without a place cannot open a mailbox. A connection that has
// a place keeps it, even if there is none for a later payer.
func (c *conn) claimPlace() *signaling.Error {
	who := c.account.payer
	if c.place == nil || c.placed && (c.placedFor == who || c.placedFor.IsNamed()) {
		return nil
	}

	if err := c.place(who); err != nil {
		if c.placed {
			return nil
		}
		c.server.Stats.RefusedConnections.Add(1)
		return errQuota
	}

	c.placed, c.placedFor = true, who
	return nil
}
