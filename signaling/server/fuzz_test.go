package server

import (
	"bytes"
	"crypto/ed25519"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/signaling"
)

// fuzzMailbox returns a mailbox that is the same in every fuzz worker.
func fuzzMailbox(n byte) signaling.Mailbox {
	key := func(n byte) ed25519.PrivateKey {
		return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, ed25519.SeedSize))
	}
	return signaling.Mailbox{Read: key(n), Write: key(n + 1)}
}

// FuzzConnection: a client that can write to one mailbox cannot reach any other, whatever it sends, and what it leaves
// there is bounded.
func FuzzConnection(f *testing.F) {
	own, theirs := fuzzMailbox(1), fuzzMailbox(3)
	const url = "https://relay.example"
	elsewhere := signaling.Append(nil, signaling.SignOpen(url, [32]byte{1}, theirs, signaling.Read))
	f.Add([]byte{0x10}, signaling.Append(nil, signaling.Post{Name: own.Name(), TTL: 60, Body: []byte{1}}))
	f.Add(signaling.Append(nil, signaling.Close{Name: own.Name()}),
		signaling.Append(nil, signaling.GrantRequest{Name: own.Name()}))
	f.Add(elsewhere, signaling.Append(nil, signaling.Post{Name: theirs.Name(), TTL: 60, Body: []byte{1}}))
	f.Add(signaling.Append(nil, signaling.Reject{Name: theirs.Name(), Seq: 7}),
		signaling.Append(nil, signaling.Ack{Name: theirs.Name(), Seq: 7}))

	f.Fuzz(func(t *testing.T, a, b []byte) {
		s, err := New(Config{PublicURL: url, Bus: discard{}, Logger: quiet})
		if err != nil {
			t.Fatal(err)
		}
		now := time.Now()
		ctx := t.Context()
		owner := newConn(s, nil, s.accountOf(quietAddr), nil)
		open := signaling.SignOpen(url, owner.nonce, theirs, signaling.Write)
		if owner.openMailbox(ctx, theirs.Name(), open, now) != nil ||
			owner.post(signaling.Post{Name: theirs.Name(), TTL: 60, Body: []byte("theirs")}, now) != nil {
			t.Fatal("the owner is refused")
		}

		c := newConn(s, nil, s.accountOf(quietAddr), nil)
		c.cancel = func() {}
		if c.openMailbox(ctx, own.Name(), signaling.SignOpen(url, c.nonce, own, signaling.Write), now) != nil {
			t.Fatal("the client is refused")
		}
		for _, frame := range [][]byte{a, b} {
			if f, err := signaling.Parse(frame); err == nil {
				c.handle(ctx, f)
			}
		}

		if c.boxes[theirs.Name()] != nil || len(c.boxes) > 3 {
			t.Errorf("%d mailboxes are open, another's: %t", len(c.boxes), c.boxes[theirs.Name()] != nil)
		}
		left := s.store.box(theirs.Name())
		if left == nil || left.messages.count != 1 || string(left.messages.first.body) != "theirs" ||
			len(left.holders) != 1 {
			t.Errorf("another's mailbox has become %+v", left)
		}

		most := costOf(len("theirs")) + costOf(len(a)) + costOf(len(b))
		if stored := s.Stats.StoredBytes.Load(); stored > most {
			t.Errorf("%d bytes are stored, but only %d were sent", stored, len(a)+len(b))
		}
	})
}
