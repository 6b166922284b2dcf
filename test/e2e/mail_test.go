package e2e

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/signaling"
	"github.com/peephole-cam/peephole/test/reserve"
)

// A relay is killed by kill -9 while several senders post. The next process delivers everything that was acknowledged.
func TestAcknowledgedMessagesSurviveKill(t *testing.T) {
	t.Parallel()
	address, state := reserve.For(t), t.TempDir()
	relay, url := startRelayAt(t, address, "-state", state)
	boxes := make([]signaling.Mailbox, 4)
	for i := range boxes {
		boxes[i] = newMailbox()
	}

	posts := &postedLog{acknowledged: make(map[string]bool)}
	sending, stop := context.WithCancel(t.Context())
	var senders sync.WaitGroup
	for i, box := range boxes {
		sender := signalingClient(t, url)
		senders.Go(func() { posts.send(sending, sender, box, fmt.Sprint(i)) })
	}
	eventually(t, "many are acknowledged", func() bool { return posts.count() > 300 })
	relay.kill()
	stop()
	senders.Wait()
	startRelayAt(t, address, "-state", state)

	missing := posts.acknowledged
	got := make(chan string)
	reader := signalingClient(t, url)
	for _, box := range boxes {
		reader.Receive(box, func(d signaling.Delivery) bool {
			select {
			case got <- string(d.Body):
			case <-t.Context().Done():
			}
			return true
		})
	}
	for deadline := time.After(patience); len(missing) > 0; {
		select {
		case body := <-got:
			delete(missing, body)
		case <-deadline:
			t.Fatalf("%d messages are lost that were acknowledged", len(missing))
		}
	}
}

// postedLog is the oracle: what the relay has acknowledged.
type postedLog struct {
	mu           sync.Mutex
	acknowledged map[string]bool // guarded by mu
}

func (p *postedLog) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.acknowledged)
}

// send posts messages until ctx ends, or the mailbox is full.
func (p *postedLog) send(ctx context.Context, c *signaling.Client, to signaling.Mailbox, prefix string) {
	for n := 0; ; n++ {
		body := fmt.Sprintf("%s-%d", prefix, n)
		if c.Send(ctx, to, []byte(body), time.Hour) != nil {
			return
		}
		p.mu.Lock()
		p.acknowledged[body] = true
		p.mu.Unlock()
	}
}

func newMailbox() signaling.Mailbox {
	_, read, _ := ed25519.GenerateKey(rand.Reader)
	_, write, _ := ed25519.GenerateKey(rand.Reader)
	return signaling.Mailbox{Read: read, Write: write}
}

// signalingClient returns a client that runs until the test ends.
func signalingClient(t *testing.T, url string) *signaling.Client {
	t.Helper()
	c, err := signaling.NewClient(signaling.ClientConfig{URL: url, Logger: logger(t)})
	if err != nil {
		t.Fatal(err)
	}
	run(t, c.Run)
	return c
}
