package signaling

import (
	"context"
	"sync"
	"time"
)

const (
	hurryFor   = time.Minute
	hurryEvery = 500 * time.Millisecond
	hurryDials = 8 // under way at the same time
	probeWait  = 600 * time.Millisecond
)

// Hurry says that somebody waits: the media stalled, or the network changed. A connection that does not answer soon is
// given up, and until the relay is reached, for a minute at most, it is dialled every half second, and not after a
// back-off that is there for thousands of clients with nothing to do.
func (c *Client) Hurry() {
	c.mu.Lock()
	c.hurry = time.Now().Add(hurryFor)
	l := c.link
	c.mu.Unlock()
	signal(c.hurried)
	if l != nil {
		signal(l.probe)
	}
}

// Renew is Hurry after a change of this device's addresses: the connection is made anew without asking whether the old one lives.
func (c *Client) Renew() {
	c.Hurry()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.link != nil {
		c.link.conn.CloseNow()
	}
}

// hurrying says whether somebody waits.
func (c *Client) hurrying() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Before(c.hurry)
}

// reach dials; where somebody waits again and again, each half second, without waiting for the attempts before: a network that comes
// back is found at once, while an attempt that began in the dark waits for TCP's own patience.
func (c *Client) reach(ctx context.Context) (*link, error) {
	ctx, cancel := context.WithCancel(ctx)
	var dialling sync.WaitGroup
	defer dialling.Wait()
	defer cancel()
	reached, failed := make(chan *link), make(chan error)
	under := 0
	dial := func() {
		under++
		dialling.Go(func() { c.dialOnce(ctx, reached, failed) })
	}
	dial()
	every := time.NewTicker(hurryEvery)
	defer every.Stop()
	for {
		select {
		case l := <-reached:
			return l, nil
		case err := <-failed:
			under--
			if under == 0 && !c.hurrying() {
				return nil, err
			}
			c.failed(&reachError{host(c.cfg.URL), err})
		case <-c.hurried: // as often as the other end of a session likes to stall
			if under < hurryDials {
				dial()
			}
		case <-every.C:
			if c.hurrying() && under < hurryDials {
				dial()
			}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// dialOnce tells how an attempt ended; a connection that nobody wants any more it closes.
func (c *Client) dialOnce(ctx context.Context, reached chan<- *link, failed chan<- error) {
	l, err := c.dial(ctx)
	if err != nil {
		select {
		case failed <- err:
		case <-ctx.Done():
		}
		return
	}
	select {
	case reached <- l:
	case <-ctx.Done():
		l.conn.CloseNow()
	}
}
