package signaling

import (
	"crypto/ed25519"
	"crypto/rand"
	"testing"
)

// The mailbox that was kept first is opened first on every connection, since a camera's own server wants a proof before
// anything else.
func TestFirstKeptMailboxIsOpenedFirst(t *testing.T) {
	c, err := NewClient(ClientConfig{URL: "https://relay.example"})
	if err != nil {
		t.Fatal(err)
	}
	mailbox := func() Mailbox {
		_, read, _ := ed25519.GenerateKey(rand.Reader)
		_, write, _ := ed25519.GenerateKey(rand.Reader)
		return Mailbox{Read: read, Write: write}
	}

	var kept []Name
	for range 20 {
		c.Receive(mailbox(), func(Delivery) bool { return true })
		mb := mailbox()
		kept = append(kept, mb.Name())
		c.Keep(mb)
	}

	l := newLink(nil, "origin", [32]byte{})
	c.setLink(l)
	for i, b := range l.queue[:len(kept)] {
		f, err := Parse(b)
		open, ok := f.(Open)
		if err != nil || !ok || open.Access != Write || NameOf(open.ReadKey, open.WriteKey) != kept[i] {
			t.Errorf("frame %d does not open the mailbox that was kept then: %v", i, err)
		}
	}
}
