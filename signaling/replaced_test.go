package signaling

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/peephole-cam/peephole/test/bubble"
)

// opensOf counts the Opens for reading in a link's queue.
func opensOf(t *testing.T, l *link) (n int) {
	t.Helper()
	for _, b := range l.emptyQueue() {
		f, err := Parse(b)
		if err != nil {
			t.Fatal(err)
		}
		if open, ok := f.(Open); ok && open.Access == Read {
			n++
		}
	}

	return n
}

// TestReplacedReaderRests: a client that was replaced leaves the mailbox alone for 30 s, over reconnects too, and then
// reads it again.
func TestReplacedReaderRests(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		var said []error
		c, err := NewClient(ClientConfig{URL: "https://relay.example", OnRefused: func(err error) {
			said = append(said, err)
		}})
		if err != nil {
			t.Fatal(err)
		}

		first, second := newLink(nil, "", [32]byte{}), newLink(nil, "", [32]byte{})
		mb, other := testMailbox(1), testMailbox(3)
		c.Receive(mb, func(Delivery) bool { return true })
		c.Receive(other, func(Delivery) bool { return true })
		c.setLink(first)
		if n := opensOf(t, first); n != 2 {
			t.Fatalf("%d mailboxes were opened, want 2", n)
		}

		for range 3 { // one rest, even if the relay repeats itself
			c.handleClosed(first, Closed{Name: mb.Name(), Code: CodeReplaced, Text: "others read this mailbox"})
		}
		var refusal *Error
		if len(said) != 1 || !errors.As(said[0], &refusal) || refusal.Code != CodeReplaced {
			t.Errorf("reported %v", said)
		}

		time.Sleep(replacedRest - time.Second) // by the bubble's clock, like all below
		c.setLink(second)
		c.Receive(mb, func(Delivery) bool { return true })
		if n := opensOf(t, second); n != 1 {
			t.Errorf("%d mailboxes were opened on the next connection, want only the other one", n)
		}

		time.Sleep(2 * time.Second)
		synctest.Wait()
		if n := opensOf(t, second); n != 1 {
			t.Errorf("%d openings after the rest, want 1", n)
		}
	})
}

func TestReplacedReaderThatStoppedStaysAway(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		c, err := NewClient(ClientConfig{URL: "https://relay.example"})
		if err != nil {
			t.Fatal(err)
		}
		l, mb := newLink(nil, "", [32]byte{}), testMailbox(1)
		stop := c.Receive(mb, func(Delivery) bool { return true })
		c.setLink(l)
		c.handleClosed(l, Closed{Name: mb.Name(), Code: CodeReplaced})
		stop()
		l.emptyQueue()

		time.Sleep(2 * replacedRest)
		synctest.Wait()
		if n := opensOf(t, l); n != 0 {
			t.Errorf("%d openings of a mailbox that nobody wants any more", n)
		}

		if len(c.resting) != 0 {
			t.Errorf("%d mailboxes rest for ever", len(c.resting))
		}
	})
}

func TestReplacementOfAnUnreadMailboxIsIgnored(t *testing.T) {
	c, err := NewClient(ClientConfig{URL: "https://relay.example", OnRefused: func(err error) { t.Error(err) }})
	if err != nil {
		t.Fatal(err)
	}
	l := newLink(nil, "", [32]byte{})
	c.setLink(l)
	c.handleClosed(l, Closed{Name: testMailbox(1).Name(), Code: CodeReplaced}) // this client does not read it
	if len(c.resting) != 0 {
		t.Errorf("%d mailboxes rest", len(c.resting))
	}
}
