package envelope

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hpke"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/crypto/identity"
	"github.com/peephole-cam/peephole/crypto/label"
)

var update = flag.Bool("update", false, "write testdata/vectors.json anew")

const (
	vectorsFile = "testdata/vectors.json"
	// webVectors is what web/ seals; its "envelope" member has the shape of vectorsFile.
	webVectors = "../../web/testdata/vectors-ts.json"
)

// hexBytes is written in hex.
type hexBytes []byte

func (h hexBytes) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(h)), nil }

func (h *hexBytes) UnmarshalText(text []byte) (err error) {
	*h, err = hex.DecodeString(string(text))
	return err
}

// vectors is the file's shape. All byte strings are in hex, times in Unix milliseconds, directions, purposes, roles and
// types the numbers of doc/protocol.md.
type vectors struct {
	Description string         `json:"description"`
	Days        []dayVector    `json:"days"`
	Cases       []vector       `json:"cases"`
	Refused     []refusedCases `json:"refused"`
}

type dayVector struct {
	MailboxSecret hexBytes `json:"mailbox_secret"`
	Offset        uint32   `json:"offset"` // seconds
	Unix          int64    `json:"unix"`   // seconds
	Day           uint32   `json:"day"`
}

type deviceVector struct {
	SigningSeed hexBytes `json:"signing_seed"`
	KEMSeed     hexBytes `json:"kem_seed"`
	Bundle      hexBytes `json:"bundle"`
	Fingerprint hexBytes `json:"fingerprint"`
}

type mailboxVector struct {
	Purpose     uint8    `json:"purpose"`
	Direction   uint8    `json:"direction"`
	Day         uint32   `json:"day"`        // of purpose 1
	SessionID   hexBytes `json:"session_id"` // of purpose 2
	ReadSeed    hexBytes `json:"read_seed"`
	ReadPublic  hexBytes `json:"read_public"`
	WriteSeed   hexBytes `json:"write_seed"`
	WritePublic hexBytes `json:"write_public"`
	Name        hexBytes `json:"name"`
}

type messageVector struct {
	SessionID hexBytes `json:"session_id"`
	Seq       hexBytes `json:"seq"` // u64
	Type      uint8    `json:"type"`
	Sent      int64    `json:"sent_ms"`
	Expiry    int64    `json:"expiry_ms"`
	Body      hexBytes `json:"body"`
}

type vector struct {
	Name          string        `json:"name"`
	Camera        deviceVector  `json:"camera"`
	Viewer        deviceVector  `json:"viewer"`
	PairSecret    hexBytes      `json:"pair_secret"`
	MailboxSecret hexBytes      `json:"mailbox_secret"`
	Mailbox       mailboxVector `json:"mailbox"`
	Context       hexBytes      `json:"context"`
	Tag           hexBytes      `json:"tag"`
	Wire          hexBytes      `json:"wire"`
	Now           int64         `json:"now_ms"` // when it is opened
	Export        hexBytes      `json:"export"`
	KeyNonce      hexBytes      `json:"key_nonce"`
	Plaintext     hexBytes      `json:"plaintext"` // padded
	Message       messageVector `json:"message"`
	SessionExport hexBytes      `json:"session_export"`
	ReplayMark    hexBytes      `json:"replay_mark"`
}

// refusedCases are wires that the recipient of a case of that name must refuse, through the mailbox given.
type refusedCases struct {
	Name    string        `json:"name"`
	Case    string        `json:"case"` // whose devices and secrets
	Opener  uint8         `json:"opener"`
	Mailbox mailboxVector `json:"mailbox"`
	Now     int64         `json:"now_ms"`
	Wire    hexBytes      `json:"wire"`
	Error   string        `json:"error"` // "not for us", "version", "expired", "life", "size" or "type"
}

var refusals = map[string]error{
	"not for us": ErrNotForUs, "version": ErrVersion, "expired": ErrExpired, "life": ErrLife, "size": ErrSize,
	"type": ErrType,
}

func TestVectors(t *testing.T) {
	if *update {
		writeVectors(t)
	}
	var v vectors
	readVectors(t, vectorsFile, &v)
	checkVectors(t, v)
	if len(v.Cases) < 7 || len(v.Refused) < 25 || len(v.Days) < 20 {
		t.Errorf("only %d cases, %d refused wires and %d days", len(v.Cases), len(v.Refused), len(v.Days))
	}
}

// TestWebVectors opens what the web viewer's code has sealed.
func TestWebVectors(t *testing.T) {
	var v struct {
		Envelope vectors `json:"envelope"`
	}
	readVectors(t, webVectors, &v)
	checkVectors(t, v.Envelope)
}

func readVectors(t *testing.T, path string, v any) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, v); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

func checkVectors(t *testing.T, v vectors) {
	if len(v.Cases) == 0 {
		t.Error("no cases")
	}
	cases := map[string]vector{}
	for _, c := range v.Cases {
		cases[c.Name] = c
		t.Run(c.Name, func(t *testing.T) { checkVector(t, c) })
	}

	for _, c := range v.Refused {
		t.Run("refused/"+c.Name, func(t *testing.T) { checkRefused(t, c, cases) })
	}
	for _, d := range v.Days {
		p := &Pair{MailboxSecret: Secret(d.MailboxSecret)}
		if got := p.Day(time.Unix(d.Unix, 0)); got != d.Day {
			t.Errorf("day at %d with offset %d is %d, want %d", d.Unix, d.Offset, got, d.Day)
		}
	}
}

func checkVector(t *testing.T, c vector) {
	opener := identity.Role(c.Mailbox.Direction)
	p := c.pair(t, opener)
	for _, d := range []deviceVector{c.Camera, c.Viewer} {
		fingerprint := d.private(t).Bundle().Fingerprint()
		equal(t, "bundle", d.private(t).Bundle().Bytes(), d.Bundle)
		equal(t, "fingerprint", fingerprint[:], d.Fingerprint)
	}

	box := c.Mailbox.derive(p)
	equal(t, "read seed", box.Read.Seed(), c.Mailbox.ReadSeed)
	equal(t, "read public", box.Read.Public().(ed25519.PublicKey), c.Mailbox.ReadPublic)
	equal(t, "write seed", box.Write.Seed(), c.Mailbox.WriteSeed)
	equal(t, "write public", box.Write.Public().(ed25519.PublicKey), c.Mailbox.WritePublic)
	equal(t, "mailbox name", box.Name[:], c.Mailbox.Name)
	context := p.context(box)
	equal(t, "context", context, c.Context)
	equal(t, "tag", p.tag(context, p.Self.KEM().PublicKey()), c.Tag)
	export, key, nonce, err := p.inside(c.Wire, context)
	if err != nil {
		t.Fatal(err)
	}

	equal(t, "export", export, c.Export)
	equal(t, "key and nonce", append(key, nonce...), c.KeyNonce)
	inner, err := c.message().pad()
	if err != nil {
		t.Fatal(err)
	}

	equal(t, "plaintext", inner, c.Plaintext)
	o, err := p.Open(box, c.Wire, time.UnixMilli(c.Now))
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "body", o.Body, c.Message.Body)
	o.Body, o.Message.Body = nil, nil
	want := c.message()
	if o.Session != want.Session || o.Seq != want.Seq || o.Type != want.Type || !o.Sent.Equal(want.Sent) ||
		!o.Expiry.Equal(want.Expiry) {
		t.Errorf("message %+v, want %+v", o.Message, want)
	}

	equal(t, "session export", o.SessionExport[:], c.SessionExport)
	equal(t, "replay mark", o.ReplayMark[:], c.ReplayMark)
}

// inside repeats what Open derives, to compare each step.
func (p *Pair) inside(wire, context []byte) (export, key, nonce []byte, err error) {
	r, err := hpke.NewRecipient(wire[9:headerSize], p.Self.KEM(), hpke.HKDFSHA256(), hpke.ExportOnly(),
		label.Envelope.Info(context))
	if err != nil {
		return nil, nil, nil, err
	}
	if export, err = r.Export("peephole v1 envelope key", 32); err != nil {
		return nil, nil, nil, err
	}

	key, nonce, _, err = p.keys(r, context)
	return export, key, nonce, err
}

func checkRefused(t *testing.T, c refusedCases, cases map[string]vector) {
	of, ok := cases[c.Case]
	want := refusals[c.Error]
	if !ok || want == nil {
		t.Fatalf("no case %q, or no error %q", c.Case, c.Error)
	}
	p := of.pair(t, identity.Role(c.Opener))
	if _, err := p.Open(c.Mailbox.derive(p), c.Wire, time.UnixMilli(c.Now)); !errors.Is(err, want) {
		t.Errorf("%v, want %v", err, want)
	}
}

func equal(t *testing.T, what string, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Errorf("%s is %x, want %x", what, got, want)
	}
}

func (d deviceVector) private(t *testing.T) *identity.Private {
	t.Helper()
	p, err := identity.FromSeeds([32]byte(d.SigningSeed), [32]byte(d.KEMSeed))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (c vector) pair(t *testing.T, r identity.Role) *Pair {
	t.Helper()
	self, peer := c.Camera, c.Viewer
	if r == identity.Viewer {
		self, peer = c.Viewer, c.Camera
	}

	bundle, err := identity.ParseBundle(peer.Bundle)
	if err != nil {
		t.Fatal(err)
	}
	return &Pair{
		Self:          self.private(t),
		Role:          r,
		Peer:          bundle,
		Secret:        Secret(c.PairSecret),
		MailboxSecret: Secret(c.MailboxSecret),
	}
}

func (m mailboxVector) derive(p *Pair) Mailbox {
	switch scope(m.Purpose) {
	case pairScope:
		return p.Mailbox(Direction(m.Direction), m.Day)
	case sessionScope:
		return p.SessionMailbox(Direction(m.Direction), SessionID(m.SessionID))
	}
	return Rendezvous(p.MailboxSecret[:], Direction(m.Direction))
}

func (c vector) message() Message {
	m := c.Message
	return Message{
		Session: SessionID(m.SessionID),
		Seq:     binary.BigEndian.Uint64(m.Seq),
		Type:    Type(m.Type),
		Sent:    time.UnixMilli(m.Sent),
		Expiry:  time.UnixMilli(m.Expiry),
		Body:    m.Body,
	}
}
