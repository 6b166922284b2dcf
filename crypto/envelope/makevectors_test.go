package envelope

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"os"
	"testing"
	"testing/cryptotest"
	"time"

	"github.com/peephole-cam/peephole/crypto/identity"
	"github.com/peephole-cam/peephole/crypto/label"
)

// writeVectors seals the vectors again, with the same randomness each time, so that only real changes show.
func writeVectors(t *testing.T) {
	cryptotest.SetGlobalRandom(t, 1)
	v := vectors{Description: "Envelopes that both ends must open, wires that they must refuse, and the days of a " +
		"pair: doc/protocol.md, sections 4 and 5.1. Byte strings are hex, times Unix milliseconds. A case is opened " +
		"by the end that its mailbox leads to; export is HPKE's for the envelope key. Written by: go test " +
		"./crypto/envelope -update"}
	now := time.UnixMilli(1_795_000_000_123)
	base := newVector()
	p := base.pair(t, identity.Viewer)
	id := SessionID(random(16))
	day := p.Day(now)
	offer, answer := p.Mailbox(ToCamera, day), p.SessionMailbox(ToViewer, id)
	for _, c := range []struct {
		name string
		box  Mailbox
		m    Message
	}{
		{"offer", offer, Message{Session: id, Seq: 1, Type: TypeOffer, Body: []byte(`{"sdp":"v=0\r\n"}`)}},
		{"answer", answer, Message{Session: id, Seq: 1<<63 + 1, Type: TypeAnswer, Body: random(512 - innerHeader)}},
		{"refuse", answer, Message{Session: id, Type: TypeRefuse, Body: []byte(`{"code":"busy","text":"später"}`)}},
		{"welcome to the viewer", p.Mailbox(ToViewer, day),
			Message{Type: TypeWelcome, Body: []byte(`{"name":"Küche"}`)}},
		{"welcome to the camera, empty", offer, Message{Type: TypeWelcome}},
		{"offer of 513 bytes, in the second bucket", offer, Message{
			Session: id,
			Type:    TypeOffer,
			Body:    random(513 - innerHeader),
		}},
		{"offer in the third bucket", p.Mailbox(ToCamera, day+1), Message{
			Session: id,
			Type:    TypeOffer,
			Body:    random(2049 - innerHeader),
		}},
	} {
		c.m.Sent, c.m.Expiry = now, now.Add(time.Minute)
		v.Cases = append(v.Cases, base.seal(t, c.name, c.box, c.m))
	}

	v.Refused = refusedVectors(t, v.Cases[0], v.Cases[1], id, day, now)
	for _, unix := range []int64{-1, 0, 1, 86399, 86400, 1_795_000_000, 1 << 40} {
		p := &Pair{MailboxSecret: Secret(random(32))}
		offset := binary.BigEndian.Uint32(label.KDF(nil, p.MailboxSecret[:], label.MailboxDayOffset, nil,
			4)) % daySeconds
		for _, at := range []int64{unix, unix - unix%daySeconds + daySeconds - int64(offset) - 1,
			unix - unix%daySeconds + daySeconds - int64(offset)} {
			v.Days = append(v.Days, dayVector{p.MailboxSecret[:], offset, at, p.Day(time.Unix(at, 0))})
		}
	}

	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	if err := e.Encode(v); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(vectorsFile, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

func refusedVectors(t *testing.T, offer, answer vector, id SessionID, day uint32, now time.Time) []refusedCases {
	viewer, camera := offer.pair(t, identity.Viewer), offer.pair(t, identity.Camera)
	box := offer.Mailbox
	changed := func(at int) []byte {
		w := bytes.Clone(offer.Wire)
		w[(at+len(w))%len(w)] ^= 1
		return w
	}

	inner := func(edit func(b []byte)) []byte {
		b := bytes.Clone(offer.Plaintext)
		edit(b)
		s, err := viewer.seal(box.derive(viewer), b)
		if err != nil {
			t.Fatal(err)
		}
		return s.Wire
	}

	reflected := describe(viewer.Mailbox(ToCamera, day), nil)
	other := viewer.Mailbox(ToCamera, day)
	sealedByCamera, err := camera.seal(other, offer.Plaintext)
	if err != nil {
		t.Fatal(err)
	}

	foreign := *viewer
	foreign.Secret = Secret(random(32))
	stranger, err := foreign.seal(viewer.Mailbox(ToCamera, day), offer.Plaintext)
	if err != nil {
		t.Fatal(err)
	}

	at, late := now.UnixMilli(), now.Add(3*time.Minute+time.Millisecond).UnixMilli()
	const c, w = uint8(identity.Camera), uint8(identity.Viewer)
	long := make([]byte, 2048)
	copy(long, offer.Plaintext)
	overfull, err := viewer.seal(box.derive(viewer), long)
	if err != nil {
		t.Fatal(err)
	}

	tomorrow, session := describe(viewer.Mailbox(ToCamera, day+1), nil), SessionID(random(16))
	swapped := describe(viewer.SessionMailbox(ToViewer, session), session[:])
	return []refusedCases{
		{"empty", "offer", c, box, at, nil, "not for us"},
		{"version 0", "offer", c, box, at, append([]byte{0}, offer.Wire[1:]...), "version"},
		{"version 2", "offer", c, box, at, append([]byte{2}, offer.Wire[1:]...), "version"},
		{"version 2, short", "offer", c, box, at, []byte{2}, "version"},
		{"tag changed", "offer", c, box, at, changed(1), "not for us"},
		{"enc changed in ML-KEM's part", "offer", c, box, at, changed(9), "not for us"},
		{"enc changed in X25519's top bit", "offer", c, box, at, topBit(offer.Wire), "not for us"},
		{"enc with an X25519 point of low order", "offer", c, box, at, lowOrder(offer.Wire), "not for us"},
		{"ciphertext changed", "offer", c, box, at, changed(headerSize), "not for us"},
		{"AEAD tag changed", "offer", c, box, at, changed(-1), "not for us"},
		{"cut short", "offer", c, box, at, offer.Wire[:len(offer.Wire)-1], "not for us"},
		{"one byte longer", "offer", c, box, at, append(bytes.Clone(offer.Wire), 0), "not for us"},
		{"header alone", "offer", c, box, at, offer.Wire[:headerSize+aeadOverhead], "not for us"},
		{"another day", "offer", c, tomorrow, at, offer.Wire, "not for us"},
		{"another session's mailbox", "answer", w, swapped, at, answer.Wire, "not for us"},
		{"reflected to its sender", "offer", w, reflected, at, offer.Wire, "not for us"},
		{"sealed by the camera to the viewer's key, through its own mailbox", "offer", c, box, at, sealedByCamera.Wire,
			"not for us"},
		{"sealed by the camera, through the mailbox to itself", "offer", w, box, at, sealedByCamera.Wire, "not for us"},
		{"another pair secret", "offer", c, box, at, stranger.Wire, "not for us"},
		{"a pairing's mailbox", "offer", c, mailboxVector{Purpose: 3, Direction: 1}, at, offer.Wire, "not for us"},
		{"late", "offer", c, box, late, offer.Wire, "expired"},
		{"expiry before 1970", "offer", c, box, at, inner(func(b []byte) { b[33] = 0xff }), "expired"},
		{"good for a millisecond longer than ten minutes", "offer", c, box, at, inner(func(b []byte) {
			binary.BigEndian.PutUint64(b[33:], uint64(now.Add(MaxLife+time.Millisecond).UnixMilli()))
		}), "life"},
		{"good for ever", "offer", c, box, at, inner(func(b []byte) { b[33] = 0x7f }), "life"},
		{"padding not zero", "offer", c, box, at, inner(func(b []byte) { b[len(b)-1] = 1 }), "size"},
		{"body longer than the plaintext", "offer", c, box, at, inner(func(b []byte) { b[41] = 0xff }), "size"},
		{"bucket too large for its body", "offer", c, box, at, overfull.Wire, "size"},
		{"type 0", "offer", c, box, at, inner(func(b []byte) { b[24] = 0 }), "type"},
		{"type 5", "offer", c, box, at, inner(func(b []byte) { b[24] = 5 }), "type"},
		{"answer in the pair's mailbox", "offer", c, box, at, inner(func(b []byte) { b[24] = 3 }), "type"},
		{"another session id than its mailbox's", "answer", w, answer.Mailbox, at, otherSession(t, answer), "type"},
	}
}

// topBit sets the bit of the X25519 share that X25519 ignores.
func topBit(wire []byte) []byte {
	w := bytes.Clone(wire)
	w[headerSize-1] ^= 0x80
	return w
}

// lowOrder replaces the X25519 share by a point whose every shared secret is zero. That needs no key: an envelope shows
// its tag to anybody.
func lowOrder(wire []byte) []byte {
	w := bytes.Clone(wire)
	clear(w[headerSize-32 : headerSize])
	return w
}

func otherSession(t *testing.T, answer vector) []byte {
	b := bytes.Clone(answer.Plaintext)
	b[0] ^= 1
	camera := answer.pair(t, identity.Camera)
	s, err := camera.seal(answer.Mailbox.derive(camera), b)
	if err != nil {
		t.Fatal(err)
	}
	return s.Wire
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

func newDevice() deviceVector {
	d := deviceVector{SigningSeed: random(32), KEMSeed: random(32)}
	p, err := identity.FromSeeds([32]byte(d.SigningSeed), [32]byte(d.KEMSeed))
	if err != nil {
		panic(err)
	}

	fingerprint := p.Bundle().Fingerprint()
	d.Bundle, d.Fingerprint = p.Bundle().Bytes(), fingerprint[:]
	return d
}

func newVector() vector {
	return vector{Camera: newDevice(), Viewer: newDevice(), PairSecret: random(32), MailboxSecret: random(32)}
}

func describe(box Mailbox, session []byte) mailboxVector {
	return mailboxVector{
		Purpose:     uint8(box.scope),
		Direction:   uint8(box.direction),
		Day:         box.epoch,
		SessionID:   session,
		ReadSeed:    box.Read.Seed(),
		ReadPublic:  hexBytes(box.Read.Public().(ed25519.PublicKey)),
		WriteSeed:   box.Write.Seed(),
		WritePublic: hexBytes(box.Write.Public().(ed25519.PublicKey)),
		Name:        box.Name[:],
	}
}

// seal seals m through box, at the end that box leads away from.
func (c vector) seal(t *testing.T, name string, box Mailbox, m Message) vector {
	from := identity.Role(box.direction).Other()
	sender, recipient := c.pair(t, from), c.pair(t, from.Other())
	s, err := sender.Seal(box, m)
	if err != nil {
		t.Fatal(err)
	}

	c.Name, c.Wire, c.SessionExport = name, s.Wire, s.SessionExport[:]
	c.Mailbox = describe(box, nil)
	if box.scope == sessionScope {
		c.Mailbox.SessionID = m.Session[:]
	}

	c.Context = recipient.context(box)
	c.Tag = s.Wire[1:9]
	export, key, nonce, err := recipient.inside(s.Wire, c.Context)
	if err != nil {
		t.Fatal(err)
	}

	c.Export, c.KeyNonce = export, append(key, nonce...)
	if c.Plaintext, err = m.pad(); err != nil {
		t.Fatal(err)
	}
	c.Message = messageVector{
		SessionID: m.Session[:],
		Seq:       binary.BigEndian.AppendUint64(nil, m.Seq),
		Type:      uint8(m.Type),
		Sent:      m.Sent.UnixMilli(),
		Expiry:    m.Expiry.UnixMilli(),
		Body:      m.Body,
	}

	c.Now = m.Sent.UnixMilli()
	mark := sha256.Sum256(s.Wire[9:headerSize])
	c.ReplayMark = mark[:]
	return c
}
