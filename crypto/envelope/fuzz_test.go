package envelope

import (
	"bytes"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/crypto/identity"
)

// fuzzPair is a pair that every fuzz worker shares: what one seals, another can open.
func fuzzPair(f *testing.F) (camera, viewer *Pair) {
	f.Helper()
	c, err := identity.FromSeeds([32]byte{1}, [32]byte{2})
	if err != nil {
		f.Fatal(err)
	}
	v, err := identity.FromSeeds([32]byte{3}, [32]byte{4})
	if err != nil {
		f.Fatal(err)
	}

	return &Pair{
			Self:          c,
			Role:          identity.Camera,
			Peer:          v.Bundle(),
			Secret:        Secret{5},
			MailboxSecret: Secret{6},
		},
		&Pair{
			Self:          v,
			Role:          identity.Viewer,
			Peer:          c.Bundle(),
			Secret:        Secret{5},
			MailboxSecret: Secret{6},
		}
}

// spoiled returns wire with one byte changed, then cut short, then followed by tail. Cut to nothing, it is tail alone.
func spoiled(wire []byte, at, cut uint16, xor byte, tail []byte) []byte {
	w := bytes.Clone(wire)
	w[int(at)%len(w)] ^= xor
	return append(w[:len(w)-min(int(cut), len(w))], tail...)
}

// FuzzOpen: only the envelope itself opens, at its recipient, in its mailbox.
func FuzzOpen(f *testing.F) {
	camera, viewer := fuzzPair(f)
	boxes := []Mailbox{viewer.Mailbox(ToCamera, 1), viewer.Mailbox(ToCamera, 2), viewer.Mailbox(ToViewer, 1),
		viewer.SessionMailbox(ToCamera, SessionID{1}), Rendezvous([]byte{1}, ToCamera)}
	wire := seal(f, viewer, boxes[0], offer()).Wire // another in each worker; its bytes are never a seed
	f.Add(uint16(0), uint16(0), byte(0), []byte{}, byte(0))
	f.Add(uint16(3), uint16(0), byte(1), []byte{}, byte(0))
	f.Add(uint16(headerSize), uint16(0), byte(1), []byte{}, byte(0))
	f.Add(uint16(0), uint16(65535), byte(0), []byte{version}, byte(0))

	f.Fuzz(func(t *testing.T, at, cut uint16, xor byte, tail []byte, box byte) {
		w, through := spoiled(wire, at, cut, xor, tail), int(box)%len(boxes)
		o, err := camera.Open(boxes[through], w, now)
		if (err == nil) != (bytes.Equal(w, wire) && through == 0) {
			t.Fatalf("opens: %t (%v), through mailbox %d", err == nil, err, through)
		}
		if err != nil && (o.Body != nil || o.Type != 0 || o.ReplayMark != [32]byte{}) {
			t.Error("an envelope that does not open reveals something")
		}

		if _, err := viewer.Open(boxes[through], w, now); err == nil {
			t.Error("opens at its sender")
		}
	})
}

// FuzzInside: whatever a modified program at the other end seals is read as a message of this mailbox, or not at all.
func FuzzInside(f *testing.F) {
	camera, viewer := fuzzPair(f)
	day, session := viewer.Mailbox(ToCamera, 1), camera.SessionMailbox(ToViewer, SessionID{1})
	whole, err := offer().pad()
	if err != nil {
		f.Fatal(err)
	}

	f.Add(whole[:innerHeader+2], false, int64(0))
	f.Add(whole[:innerHeader+2], true, int64(0))
	f.Add(append(whole[:innerHeader:innerHeader], 1, 2, 3), false, int64(3_600_000))
	f.Fuzz(func(t *testing.T, inner []byte, answering bool, late int64) {
		from, to, box := viewer, camera, day
		if answering {
			from, to, box = camera, viewer, session
		}
		inner = append(inner, make([]byte, max(0, buckets[0]-len(inner)))...)
		sealed, err := from.seal(box, inner)
		if err != nil {
			t.Fatal(err)
		}

		at := now.Add(time.Duration(late%(1<<40)) * time.Millisecond)
		o, err := to.Open(box, sealed.Wire, at)
		if err != nil {
			return
		}
		if fit := o.Type == TypeWelcome && !answering || o.Type == TypeOffer && !answering ||
			(o.Type == TypeAnswer || o.Type == TypeRefuse) && answering && o.Session == (SessionID{1}); !fit {
			t.Errorf("type %d of session %x opens, answering %t", o.Type, o.Session, answering)
		}

		if again, err := o.pad(); err != nil || !bytes.Equal(again, inner) || at.After(o.Expiry.Add(clockSkew)) ||
			o.livesTooLong() {
			t.Errorf("opened one that seals differently (%v), is too late, or is valid for too long", err)
		}
	})
}

// FuzzDecodeSecret: a secret in a file has one spelling.
func FuzzDecodeSecret(f *testing.F) {
	f.Add(Secret{1}.Encode())
	f.Add(Secret{1}.Encode() + "\n")
	f.Fuzz(func(t *testing.T, text string) {
		if s, err := DecodeSecret(text); err == nil && s.Encode() != text {
			t.Errorf("%q is another spelling of a secret", text)
		}
	})
}

// FuzzUnpad reads what only the other end of the pair could have sealed: it must be read in one way or not at all.
func FuzzUnpad(f *testing.F) {
	whole, err := offer().pad()
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range [][]byte{whole, whole[:innerHeader], make([]byte, 2048), nil} {
		f.Add(seed)
	}

	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := unpad(b)
		if err != nil {
			return
		}
		if again, err := m.pad(); err != nil || !bytes.Equal(again, b) {
			t.Errorf("a message has two spellings: %v", err)
		}
	})
}
