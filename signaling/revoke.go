package signaling

import (
	"context"
	"fmt"
)

// Revoke ends the admission of a mailbox that this client's ticket pays for, and deletes the messages in it. The ticket
// pays nothing more until the mailbox is opened with it again. Revoke retries over reconnects until ctx ends.
func (c *Client) Revoke(ctx context.Context, mb Mailbox) error {
	_, err := c.request(ctx, mb, func(id uint32) Frame { return Revoke{ID: id, Name: mb.Name()} })
	if err != nil {
		return fmt.Errorf("revoke mailbox: %w", err)
	}
	return nil
}
