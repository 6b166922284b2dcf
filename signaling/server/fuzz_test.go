package server

import (
	"bytes"
	"crypto/ed25519"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/signaling"
)

// fuzzMailbox is a mailbox that every fuzz worker shares.
func fuzzMailbox(n byte) signaling.Mailbox {
	key := func(n byte) ed25519.PrivateKey {
		return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, ed25519.SeedSize))
	}
	return signaling.Mailbox{Read: key(n), Write: key(n + 1)}
}

// FuzzConnection: whatever a client says that can write to one mailbox, it gets at no other's, and what it leaves there is bounded.
func FuzzConnection(f *testing.F) {
	own, theirs := fuzzMailbox(1), fuzzMailbox(3)
	const url = "https://relay.example"
	elsewhere := signaling.Append(nil, signaling.SignOpen(url, [32]byte{1}, theirs, signaling.Read))
	f.Add([]byte{0x10}, signaling.Append(nil, signaling.Post{Name: own.Name(), TTL: 60, Body: []byte{1}}))
	f.Add(signaling.Append(nil, signaling.Close{Name: own.Name()}), signaling.Append(nil, signaling.GrantRequest{Name: own.Name()}))
	f.Add(elsewhere, signaling.Append(nil, signaling.Post{Name: theirs.Name(), TTL: 60, Body: []byte{1}}))
	f.Add(signaling.Append(nil, signaling.Reject{Name: theirs.Name(), Seq: 7}), signaling.Append(nil, signaling.Ack{Name: theirs.Name(), Seq: 7}))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		s, err := New(Config{PublicURL: url, Bus: discard{}, Logger: quiet})
		if err != nil {
			t.Fatal(err)
		}
		now := time.Now()
		owner := newConn(s, nil, quietAddr)
		s.perAddr[quietAddr] = new(usage)
		if owner.open(theirs.Name(), signaling.SignOpen(url, owner.nonce, theirs, signaling.Write), now) != nil ||
			owner.post(signaling.Post{Name: theirs.Name(), TTL: 60, Body: []byte("theirs")}, now) != nil {
			t.Fatal("the owner is refused")
		}
		c := newConn(s, nil, quietAddr)
		c.cancel = func() {}
		if c.open(own.Name(), signaling.SignOpen(url, c.nonce, own, signaling.Write), now) != nil {
			t.Fatal("the client is refused")
		}
		for _, frame := range [][]byte{a, b} {
			if f, err := signaling.Parse(frame); err == nil {
				c.handle(f)
			}
		}
		if c.boxes[theirs.Name()] != nil || len(c.boxes) > 3 {
			t.Errorf("%d mailboxes are open, another's: %t", len(c.boxes), c.boxes[theirs.Name()] != nil)
		}
		if left := s.store.boxes[theirs.Name()]; left == nil || len(left.messages) != 1 || string(left.messages[0].body) != "theirs" || left.holders != 1 {
			t.Errorf("another's mailbox has become %+v", left)
		}
		if stored := s.Stats.StoredBytes.Load(); stored > int64(len("theirs")+len(a)+len(b)) {
			t.Errorf("%d bytes are kept of %d", stored, len(a)+len(b))
		}
	})
}
