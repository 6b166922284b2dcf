package envelope

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/crypto/identity"
	"github.com/peephole-cam/peephole/test/bubble"
)

// newPair returns both ends of a new pair.
func newPair(t testing.TB) (camera, viewer *Pair) {
	t.Helper()
	c, err1 := identity.Generate()
	v, err2 := identity.Generate()
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}

	secret, mailbox := Secret(random(32)), Secret(random(32))
	return &Pair{
			Self:          c,
			Role:          identity.Camera,
			Peer:          v.Bundle(),
			Secret:        secret,
			MailboxSecret: mailbox,
		},
		&Pair{
			Self:          v,
			Role:          identity.Viewer,
			Peer:          c.Bundle(),
			Secret:        secret,
			MailboxSecret: mailbox,
		}
}

var now = time.UnixMilli(1_795_000_000_000)

func offer() Message {
	return Message{
		Session: SessionID{1},
		Type:    TypeOffer,
		Sent:    now,
		Expiry:  now.Add(time.Minute),
		Body:    []byte("{}"),
	}
}

func seal(t testing.TB, p *Pair, box Mailbox, m Message) Sealed {
	t.Helper()
	s, err := p.Seal(box, m)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestBothEndsAgree(t *testing.T) {
	camera, viewer := newPair(t)
	if camera.Camera() != viewer.Camera() || camera.Viewer() != viewer.Viewer() || camera.Camera() == camera.Viewer() {
		t.Error("fingerprints")
	}
	box := viewer.Mailbox(ToCamera, 7)
	if box.Name != camera.Mailbox(ToCamera, 7).Name {
		t.Error("mailbox names")
	}

	s := seal(t, viewer, box, offer())
	o, err := camera.Open(camera.Mailbox(ToCamera, 7), s.Wire, now)
	if err != nil {
		t.Fatal(err)
	}
	if !o.SessionExport.Equal(s.SessionExport) || string(o.Body) != "{}" {
		t.Errorf("%+v", o)
	}

	if _, err := viewer.Open(box, s.Wire, now); !errors.Is(err, ErrNotForUs) {
		t.Errorf("the sender opens its own: %v", err)
	}
}

// TestMailboxesDiffer: no two mailboxes share a key or a name, whether of one pair or of two.
func TestMailboxesDiffer(t *testing.T) {
	p, _ := newPair(t)
	q, _ := newPair(t)

	seen := map[string]string{}
	for name, m := range map[string]Mailbox{
		"pair to camera": p.Mailbox(ToCamera, 1), "pair to viewer": p.Mailbox(ToViewer, 1),
		"next day":          p.Mailbox(ToCamera, 2),
		"session":           p.SessionMailbox(ToCamera, SessionID{1}),
		"session to viewer": p.SessionMailbox(ToViewer, SessionID{1}),
		"other session":     p.SessionMailbox(ToCamera, SessionID{2}), "other pair": q.Mailbox(ToCamera, 1),
		"rendezvous": Rendezvous(p.MailboxSecret[:], 1), "rendezvous to scanner": Rendezvous(p.MailboxSecret[:], 2),
	} {
		for _, b := range [][]byte{m.Read.Seed(), m.Write.Seed(), m.Name[:]} {
			if first, ok := seen[string(b)]; ok {
				t.Errorf("%s and %s share a key or name", name, first)
			}
			seen[string(b)] = name
		}
	}
}

// TestSealRefuses what its recipient would refuse.
func TestSealRefuses(t *testing.T) {
	camera, viewer := newPair(t)

	id := SessionID{1}
	for name, row := range map[string]struct {
		p   *Pair
		box Mailbox
		m   Message
	}{
		"a mailbox to itself":    {camera, camera.Mailbox(ToCamera, 1), Message{Type: TypeWelcome}},
		"a pairing's mailbox":    {viewer, Rendezvous(nil, ToCamera), Message{Type: TypeWelcome}},
		"no direction":           {viewer, viewer.Mailbox(0, 1), Message{Type: TypeWelcome}},
		"no mailbox":             {viewer, Mailbox{}, Message{Type: TypeWelcome}},
		"an offer from a camera": {camera, camera.Mailbox(ToViewer, 1), Message{Type: TypeOffer}},
		"an offer in a session": {viewer, viewer.SessionMailbox(ToCamera, id),
			Message{Type: TypeOffer, Session: id}},
		"an answer in the pair's": {camera, camera.Mailbox(ToViewer, 1), Message{Type: TypeAnswer}},
		"an answer from a viewer": {viewer, viewer.SessionMailbox(ToCamera, id),
			Message{Type: TypeAnswer, Session: id}},
		"an answer to another session": {camera, camera.SessionMailbox(ToViewer, id), Message{Type: TypeAnswer}},
		"no type":                      {viewer, viewer.Mailbox(ToCamera, 1), Message{}},
		"an unknown type":              {viewer, viewer.Mailbox(ToCamera, 1), Message{Type: 5}},
		"a body that fits no envelope": {viewer, viewer.Mailbox(ToCamera, 1),
			Message{Type: TypeOffer, Body: make([]byte, MaxBody+1)}},
		"an offer that fits no envelope": {viewer, viewer.Mailbox(ToCamera, 1),
			Message{Type: TypeOffer, Body: make([]byte, 1<<20)}},
	} {
		if s, err := row.p.Seal(row.box, row.m); err == nil || s.Wire != nil {
			t.Errorf("sealed %s", name)
		}
	}
}

// TestLengthRevealsOnlyTheBucket: the length of a wire reveals its bucket and nothing else.
func TestLengthRevealsOnlyTheBucket(t *testing.T) {
	camera, viewer := newPair(t)
	box := viewer.Mailbox(ToCamera, 1)
	for _, row := range []struct{ body, bucket int }{
		{0, 512}, {512 - 45, 512}, {512 - 44, 2048}, {2048 - 45, 2048}, {2048 - 44, 8192}, {8192 - 45, 8192},
		{8192 - 44, 32768}, {MaxBody, 32768},
	} {
		m := offer()
		m.Body = bytes.Repeat([]byte{1}, row.body)
		s := seal(t, viewer, box, m)
		if len(s.Wire) != 1129+row.bucket+16 {
			t.Errorf("a body of %d makes %d bytes", row.body, len(s.Wire))
		}

		if o, err := camera.Open(box, s.Wire, now); err != nil || !bytes.Equal(o.Body, m.Body) {
			t.Errorf("a body of %d: %v", row.body, err)
		}
	}
}

// TestEnvelopesOfOneMessageDiffer: two wires of the same message share only version and tag.
func TestEnvelopesOfOneMessageDiffer(t *testing.T) {
	_, viewer := newPair(t)
	box := viewer.Mailbox(ToCamera, 1)
	a, b := seal(t, viewer, box, offer()), seal(t, viewer, box, offer())
	if bytes.Equal(a.Wire[9:41], b.Wire[9:41]) ||
		bytes.Equal(a.Wire[headerSize:headerSize+16], b.Wire[headerSize:headerSize+16]) ||
		a.SessionExport.Equal(b.SessionExport) {
		t.Error("two envelopes share an encapsulation")
	}
}

func TestEnvelopeOpensUntilItExpires(t *testing.T) {
	camera, viewer := newPair(t)
	box := viewer.Mailbox(ToCamera, 1)
	wire := seal(t, viewer, box, offer()).Wire
	last := now.Add(time.Minute + clockSkew)
	for at, want := range map[time.Time]error{
		{}: nil, time.Unix(0, 0): nil, now: nil, last: nil, last.Add(1): ErrExpired, now.AddDate(20, 0, 0): ErrExpired,
	} {
		if _, err := camera.Open(box, wire, at); !errors.Is(err, want) {
			t.Errorf("at %s: %v, want %v", at, err, want)
		}
	}
}

// A caller that knows an expired envelope to be fresh can read it, but cannot mistake it for one that opened.
func TestExpiredEnvelopeIsInItsErrorAlone(t *testing.T) {
	camera, viewer := newPair(t)
	box := viewer.Mailbox(ToCamera, 1)
	sealed := seal(t, viewer, box, offer())
	opened, err := camera.Open(box, sealed.Wire, now.Add(time.Hour))
	var late *ExpiredError
	if !errors.As(err, &late) || opened.Body != nil || opened.Type != 0 || opened.ReplayMark != [32]byte{} {
		t.Fatalf("opened %+v, %v", opened, err)
	}

	if string(late.Opened.Body) != "{}" || late.Opened.Session != offer().Session ||
		!late.Opened.SessionExport.Equal(sealed.SessionExport) {
		t.Errorf("the error has %+v", late.Opened.Message)
	}
	if text := fmt.Sprintf("%v %+v", err, err); strings.Contains(text, "{") {
		t.Errorf("the error prints what is inside: %s", text)
	}
}

// An envelope is valid for ten minutes at most, whatever its sender says: neither end seals one that is valid for
// longer, and neither opens one.
func TestNothingIsGoodForLongerThanTenMinutes(t *testing.T) {
	camera, viewer := newPair(t)
	box := viewer.Mailbox(ToCamera, 1)
	for life, want := range map[time.Duration]error{
		0: nil, time.Minute: nil, MaxLife: nil, MaxLife + time.Millisecond: ErrLife,
		100 * 365 * 24 * time.Hour: ErrLife,
	} {
		m := offer()
		m.Expiry = m.Sent.Add(life)
		if s, err := viewer.Seal(box, m); !errors.Is(err, want) || want != nil && s.Wire != nil {
			t.Errorf("sealed for %s: %v, want %v", life, err, want)
		}

		inner, err := m.pad()
		if err != nil {
			t.Fatal(err)
		}
		foreign, err := viewer.seal(box, inner) // as a modified viewer might
		if err != nil {
			t.Fatal(err)
		}

		if _, err := camera.Open(box, foreign.Wire, now); !errors.Is(err, want) || Foreign(err) {
			t.Errorf("opened, good for %s: %v, want %v", life, err, want)
		}
	}
}

// Addressed refuses, without the private key, what Open would refuse for its outside.
func TestAddressedRefusesWhatOpenWould(t *testing.T) {
	camera, viewer := newPair(t)
	other, _ := newPair(t)
	box := viewer.Mailbox(ToCamera, 1)
	wire := seal(t, viewer, box, offer()).Wire
	inside := bytes.Clone(wire)
	inside[len(inside)-1] ^= 1

	for name, row := range map[string]struct {
		p    *Pair
		box  Mailbox
		wire []byte
		want error
	}{
		"an envelope":              {camera, box, wire, nil},
		"with a copy of its tag":   {camera, box, inside, nil},
		"of another mailbox":       {camera, viewer.Mailbox(ToCamera, 2), wire, ErrNotForUs},
		"of another pair":          {other, box, wire, ErrNotForUs},
		"to its sender":            {viewer, box, wire, ErrNotForUs},
		"of another version":       {camera, box, append([]byte{2}, wire[1:]...), ErrVersion},
		"of no size that there is": {camera, box, wire[:len(wire)-1], ErrNotForUs},
		"empty":                    {camera, box, nil, ErrNotForUs},
	} {
		err := row.p.Addressed(row.box, row.wire)
		if err != row.want {
			t.Errorf("%s: %v, want %v", name, err, row.want)
		}
		if _, opens := row.p.Open(row.box, row.wire, now); err != nil && opens != err {
			t.Errorf("%s: Open says %v, Addressed %v", name, opens, err)
		}
	}
}

// TestEveryBitOfAnEnvelopeCounts flips one bit in each of many places.
func TestEveryBitOfAnEnvelopeCounts(t *testing.T) {
	camera, viewer := newPair(t)
	box := viewer.Mailbox(ToCamera, 1)
	wire := seal(t, viewer, box, offer()).Wire
	for at := 0; at < len(wire); at += 7 {
		w := bytes.Clone(wire)
		w[at] ^= 1 << (at % 8)
		want := ErrNotForUs
		if at == 0 {
			want = ErrVersion
		}

		if o, err := camera.Open(box, w, now); err != want || o.Body != nil {
			t.Fatalf("byte %d: %v, want exactly %v", at, err, want)
		}
	}

	for n := range len(wire) {
		if _, err := camera.Open(box, wire[:n], now); err != ErrNotForUs {
			t.Fatalf("%d bytes: %v", n, err)
		}
	}
}

// TestOnlyWhatNobodyOfThePairSealedIsForeign: the other end's own fault must not raise an alarm about the relay.
func TestOnlyWhatNobodyOfThePairSealedIsForeign(t *testing.T) {
	for err, want := range map[error]bool{
		ErrNotForUs: true, ErrVersion: true, fmt.Errorf("open: %w", ErrNotForUs): true,
		nil: false, ErrExpired: false, &ExpiredError{}: false, ErrSize: false, ErrLife: false, ErrType: false,
		ErrReplayed: false,
	} {
		if Foreign(err) != want {
			t.Errorf("%v is foreign: %t, want %t", err, !want, want)
		}
	}
}

// broken is an HPKE context that exports nothing.
type broken struct{}

func (broken) Export(string, int) ([]byte, error) { return nil, errors.ErrUnsupported }

func TestNothingIsSealedUnderAKeyThatWasNotExported(t *testing.T) {
	_, viewer := newPair(t)
	key, nonce, session, err := viewer.keys(broken{}, nil)
	if !errors.Is(err, errors.ErrUnsupported) || key != nil || nonce != nil || session != (Secret{}) {
		t.Errorf("keys of an export that failed: %v", err)
	}
}

// TestPeerKeyOfLowOrderSealsNothing: an X25519 key whose every shared secret is zero is an error.
func TestPeerKeyOfLowOrderSealsNothing(t *testing.T) {
	_, viewer := newPair(t)
	bundle := viewer.Peer.Bytes()
	clear(bundle[len(bundle)-32:])
	peer, err := identity.ParseBundle(bundle)
	if err != nil {
		t.Fatal(err)
	}

	viewer.Peer = peer
	if s, err := viewer.Seal(viewer.Mailbox(ToCamera, 1), offer()); err == nil || s.Wire != nil {
		t.Error("sealed to a key of low order")
	}
}

// TestStolenKey: neither the recipient's private key nor the pair secret alone opens or makes an envelope.
func TestStolenKey(t *testing.T) {
	camera, viewer := newPair(t)
	box := viewer.Mailbox(ToCamera, 1)
	wire := seal(t, viewer, box, offer()).Wire
	thief := *camera
	thief.Secret = Secret{}
	if _, err := thief.Open(box, wire, now); !errors.Is(err, ErrNotForUs) {
		t.Errorf("with the key alone: %v", err)
	}

	other, _ := newPair(t)
	thief = *camera
	thief.Self = other.Self
	if _, err := thief.Open(box, wire, now); !errors.Is(err, ErrNotForUs) {
		t.Errorf("with the secret alone: %v", err)
	}

	forger := *viewer
	forger.Secret = Secret{}
	if _, err := camera.Open(box, seal(t, &forger, box, offer()).Wire, now); !errors.Is(err, ErrNotForUs) {
		t.Errorf("forged without the secret: %v", err)
	}

	// Another viewer of the same camera cannot forge one either, even with the secret: its bundle is not this pair's.
	forger = *viewer
	forger.Self = other.Self
	if _, err := camera.Open(box, seal(t, &forger, box, offer()).Wire, now); !errors.Is(err, ErrNotForUs) {
		t.Errorf("sealed by another device: %v", err)
	}
}

func TestDayTurnsOnceADay(t *testing.T) {
	p, _ := newPair(t)
	first := p.Day(now)
	turns := 0
	for s := range 86400 / 60 {
		d := p.Day(now.Add(time.Duration(s) * time.Minute))
		if d != first && d != first+1 {
			t.Fatalf("day %d after %d", d, first)
		}
		if d != p.Day(now.Add(time.Duration(s-1)*time.Minute)) {
			turns++
		}
	}

	if turns > 1 || p.Day(now.Add(24*time.Hour)) != first+1 {
		t.Errorf("the day turns %d times a day", turns)
	}
	if p.Day(time.Time{}) != p.Day(time.Unix(0, 0)) {
		t.Error("before 1970")
	}
}

func TestReplayIsRefusedWhileItWouldOpen(t *testing.T) {
	camera, viewer := newPair(t)
	box := viewer.Mailbox(ToCamera, 1)
	open := func(at time.Time, wire []byte) Opened {
		t.Helper()
		o, err := camera.Open(box, wire, at)
		if err != nil {
			t.Fatal(err)
		}
		return o
	}

	var r Replays
	a, b := seal(t, viewer, box, offer()).Wire, seal(t, viewer, box, offer()).Wire
	if err := errors.Join(r.Accept(open(now, a), now), r.Accept(open(now, b), now)); err != nil {
		t.Fatal(err)
	}

	// The mark is remembered for as long as the envelope opens, whatever else arrives.
	for _, at := range []time.Time{now, now.Add(time.Minute), now.Add(time.Minute + clockSkew)} {
		if err := r.Accept(open(at, seal(t, viewer, box, offer()).Wire), at); err != nil {
			t.Fatal(err)
		}
		if err := r.Accept(open(at, a), at); !errors.Is(err, ErrReplayed) {
			t.Errorf("at %s: %v", at, err)
		}
	}

	late := now.Add(time.Hour)
	m := offer()
	m.Sent, m.Expiry = late, late.Add(time.Minute)
	if err := r.Accept(open(late, seal(t, viewer, box, m).Wire), late); err != nil {
		t.Errorf("an hour later: %v", err)
	}

	if err := r.Accept(open(now, a), now); !errors.Is(err, ErrReplayed) {
		t.Errorf("the clock was an hour ahead and set back: %v", err)
	}
}

// TestFullReplaysForgetNoMarkTooEarly: no mark is forgotten too early; the new envelope is refused instead.
func TestFullReplaysForgetNoMarkTooEarly(t *testing.T) {
	var r Replays
	o := Opened{Message: Message{Expiry: now.Add(time.Minute)}}
	for i := range maxMarks {
		o.ReplayMark = [32]byte{byte(i), byte(i >> 8)}
		if err := r.Accept(o, now); err != nil {
			t.Fatal(err)
		}
	}

	first := Opened{Message: o.Message}
	if err := r.Accept(first, now); !errors.Is(err, ErrReplayed) {
		t.Errorf("the first: %v", err)
	}
	o.ReplayMark = [32]byte{31: 1}
	if err := r.Accept(o, now); !errors.Is(err, ErrTooMany) {
		t.Errorf("one too many: %v", err)
	}

	forgotten, later := o, o
	later.Expiry = now.Add(time.Hour)
	if err := r.Accept(later, now.Add(time.Hour)); err != nil || len(r.marks) != 1 {
		t.Errorf("after the others: %v, %d marks", err, len(r.marks))
	}

	// The clock is set back: nobody knows any more whether this one was accepted.
	if forgotten.ReplayMark = [32]byte{31: 2}; !errors.Is(r.Accept(forgotten, now), ErrReplayed) ||
		!errors.Is(r.Accept(first, now), ErrReplayed) {
		t.Error("accepted an envelope that may have been accepted before: its mark is forgotten")
	}
}

// TestFullMemoryForgetsWhatCannotOpenAnyMore, to the nanosecond, and nothing before.
func TestFullMemoryForgetsWhatCannotOpenAnyMore(t *testing.T) {
	const remembered = 4096
	last := now.Add(time.Minute + 2*time.Minute) // the envelopes' expiry, and the skew that Open allows
	var r Replays
	for i := range remembered {
		o := Opened{Message: Message{Expiry: now.Add(time.Minute)}, ReplayMark: [32]byte{byte(i), byte(i >> 8)}}
		if err := r.Accept(o, now); err != nil {
			t.Fatal(err)
		}
	}

	another := Opened{Message: Message{Expiry: now.Add(time.Hour)}, ReplayMark: [32]byte{31: 1}}
	if err := r.Accept(another, last); !errors.Is(err, ErrTooMany) {
		t.Errorf("when the others open for the last time: %v", err)
	}
	if err := r.Accept(another, last.Add(1)); err != nil {
		t.Errorf("when they do not open any more: %v", err)
	}
}

// TestReplaysAtOnce: of many copies at once, one is accepted.
func TestReplaysAtOnce(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		var r Replays
		results := make(chan error, 16)
		for range cap(results) {
			go func() { results <- r.Accept(Opened{Message: Message{Expiry: now}}, now) }()
		}

		accepted := 0
		for range cap(results) {
			if <-results == nil {
				accepted++
			}
		}

		if accepted != 1 {
			t.Errorf("%d accepted", accepted)
		}
	})
}

func TestSecretHasOneSpelling(t *testing.T) {
	s := Secret(random(32))
	if got, err := DecodeSecret(s.Encode()); err != nil || !got.Equal(s) || got.Equal(Secret{}) {
		t.Errorf("%v", err)
	}
	for _, text := range []string{"", s.Encode()[1:], s.Encode() + "AAAA", s.Encode()[:20] + "*" + s.Encode()[21:],
		s.Encode() + "A", s.Encode()[:42] + "_", s.Encode() + "=", strings.Repeat("*", 43)} {
		if _, err := DecodeSecret(text); err == nil {
			t.Errorf("%q was read as a secret", text)
		}
	}

	if _, err := json.Marshal(s); err == nil {
		t.Error("a secret was encoded as JSON")
	}
}

// TestNoPrintableForm looks for keys in what fmt and slog make of a pair, a mailbox and what was opened.
func TestNoPrintableForm(t *testing.T) {
	p, _ := newPair(t)
	box := p.Mailbox(ToCamera, 1)
	o := Opened{SessionExport: Secret(random(32))}
	var b bytes.Buffer
	for _, h := range []slog.Handler{slog.NewTextHandler(&b, nil), slog.NewJSONHandler(&b, nil)} {
		slog.New(h).Info("x", "secret", p.Secret, "pair", p, "box", box, "opened", o)
	}

	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%X", "%d", "%q"} {
		for _, x := range []any{p.Secret, p, *p, box, &box, []Mailbox{box}, o, Sealed{SessionExport: p.Secret}} {
			fmt.Fprintf(&b, verb+" ", x)
		}
	}

	text := strings.ToLower(b.String())
	for name, key := range map[string][]byte{
		"pair secret": p.Secret[:], "mailbox secret": p.MailboxSecret[:], "session export": o.SessionExport[:],
		"read key": box.Read, "write key": box.Write,
	} {
		encoded := strings.ToLower(base64.StdEncoding.EncodeToString(key[:6]))
		for _, form := range []string{encoded, fmt.Sprintf("%x", key[:4]), strings.Trim(fmt.Sprint(key[:4]), "[]"),
			strings.Trim(fmt.Sprintf("%#v", key[:4]), "[]byte{}")} {
			if strings.Contains(text, form) {
				t.Errorf("the %s was printed: %s", name, form)
			}
		}
	}
}
