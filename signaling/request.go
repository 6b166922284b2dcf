package signaling

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// errLinkLost ends a request whose connection broke; it is repeated on the next connection.
var errLinkLost = errors.New("connection to the relay lost")

// Send posts body to mb. The relay keeps it for ttl; if ttl is 0, it delivers body only to readers that are connected
// now. Send waits for the relay's answer, over reconnects, until ctx ends. It returns an *Error if the relay refuses.
func (c *Client) Send(ctx context.Context, mb Mailbox, body []byte, ttl time.Duration) error {
	if err := checkBody(body); err != nil {
		return err
	}
	_, err := c.request(ctx, mb, func(id uint32) Frame {
		return newPost(id, mb.Name(), ttl, body)
	})
	if err != nil {
		return fmt.Errorf("send message: %w", err)
	}
	return nil
}

// Grant asks the relay for both ends' ICE servers, through a mailbox of the camera: those of a region that the relay's
// map names, or, if region is empty or the relay has no part in it, those of the relay itself.
func (c *Client) Grant(ctx context.Context, mb Mailbox, region string) (Grant, error) {
	text, err := c.request(ctx, mb, func(id uint32) Frame {
		return GrantRequest{ID: id, Name: mb.Name(), Region: region}
	})
	var g Grant
	if err == nil {
		g, err = parseGrant(text)
	}
	if err != nil {
		return Grant{}, fmt.Errorf("ask for ice servers: %w", err)
	}
	return g, nil
}

// request sends a frame about a mailbox and waits for the answer. It first opens the mailbox for writing, without
// waiting for the answer to that.
func (c *Client) request(ctx context.Context, mb Mailbox, frame func(id uint32) Frame) ([]byte, error) {
	defer c.Keep(mb)()
	for {
		l, err := c.waitForLink(ctx)
		if err != nil {
			return nil, err
		}

		a := l.roundTrip(ctx, mb.Name(), frame)
		if errors.Is(a.err, errLinkLost) {
			continue
		}
		return a.json, a.err
	}
}

func checkBody(body []byte) error {
	if len(body) == 0 || len(body) > MaxBody {
		return fmt.Errorf("send message: %d bytes, at most %d", len(body), MaxBody)
	}
	return nil
}

func newPost(id uint32, to Name, ttl time.Duration, body []byte) Post {
	return Post{ID: id, Name: to, TTL: uint32(min(ttl/time.Second, MaxTTL)), Body: body}
}
