package model

import (
	"bytes"
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/peephole-cam/peephole/crypto/envelope"
)

// sealed is an envelope that somebody has sealed. The cloud keeps all of them.
type sealed struct {
	letter
	wire   []byte
	export envelope.Secret
}

// mailboxOf is a mailbox of the pair that a run of the pairing made.
type mailboxOf struct {
	secret int
	place  place
}

// mailbox returns a holder's mailbox at a place.
func (w *world) mailbox(t *rapid.T, h *holder, p place) envelope.Mailbox {
	key := mailboxOf{h.ring.mailbox, p}
	if m, ok := w.mailboxes[key]; ok {
		return m
	}
	m := h.pair.Mailbox(envelope.Direction(p.to), p.day)
	if p.session != 0 {
		m = h.pair.SessionMailbox(envelope.Direction(p.to), w.sessions[p.session-1])
	}

	w.once.name(t, key, m.Name)
	w.mailboxes[key] = m
	return m
}

// drawPlace draws a mailbox: of a day around today, or of a session, which may be new.
func (w *world) drawPlace(t *rapid.T, h *holder) place {
	p := place{to: h.end.other()}
	if oneIn(t, 10, "to itself") {
		p.to = h.end
	}
	if !oneIn(t, 2, "session's") {
		p.day = h.pair.Day(time.Now()) + uint32(index(t, "day", 3)) - 1
		return p
	}

	p.session = w.drawSession(t)

	return p
}

func (w *world) drawSession(t *rapid.T) int {
	if len(w.sessions) < 3 && oneIn(t, 2, "new session") {
		w.sessions = append(w.sessions, envelope.SessionID{byte(len(w.sessions) + 1)})
	}
	return index(t, "session", len(w.sessions)+1)
}

// drawKind draws a kind of envelope, usually one that goes through p.
func (w *world) drawKind(t *rapid.T, p place) int {
	kinds := []int{welcome, offer, answer, refuse}
	if oneIn(t, 8, "any kind") {
		kinds = append(kinds, 0, 5)
	} else if fit := without(kinds, func(k int) bool { return !p.carries(k, p.session) }); len(fit) > 0 {
		kinds = fit
	}
	return kinds[index(t, "kind", len(kinds))]
}

// seal lets any holder seal anything. What the table of section 4 does not allow is refused.
func (w *world) seal(t *rapid.T) {
	holders := w.holders()
	if len(holders) == 0 {
		return
	}
	h := holders[index(t, "holder", len(holders))]
	p := w.drawPlace(t, h)
	l := letter{by: h.ring, through: p, session: p.session, seq: rapid.Uint64().Draw(t, "seq")}
	if l.kind = w.drawKind(t, p); oneIn(t, 10, "another session") || p.session == 0 {
		l.session = w.drawSession(t)
	}

	l.sent = h.now(t).Truncate(time.Millisecond)
	l.expiry = l.sent.Add(one(t, "good for", time.Minute, time.Minute, 10*time.Minute, 0, -2*time.Minute,
		-2*time.Minute-time.Millisecond, longestLife+time.Millisecond, 48*time.Hour))
	size := one(t, "size", 0, 1, 100, 200, 467, 468, 2003, longestBody, longestBody+1)
	l.body = string(bytes.Repeat([]byte{byte(len(w.envelopes) + 1)}, size))
	before := len(w.envelopes)
	w.sealLetter(t, h, l)
	if len(w.envelopes) > before && oneIn(t, 2, "arrives at once") {
		w.bring(t, before, w.envelopes[before].wire, true)
	}
}

// sealLetter seals l. It fails if that succeeds although the oracle forbids it.
func (w *world) sealLetter(t *rapid.T, h *holder, l letter) {
	got, err := h.pair.Seal(w.mailbox(t, h, l.through), envelope.Message{
		Session: w.sessionID(l.session),
		Seq:     l.seq,
		Type:    envelope.Type(l.kind),
		Sent:    l.sent,
		Expiry:  l.expiry,
		Body:    []byte(l.body),
	})
	if (err == nil) != l.sealable(h.end) {
		t.Fatalf("kind %d of session %d, %d bytes, through %+v at end %d: sealed %t (%v), the oracle says %t", l.kind,
			l.session, len(l.body), l.through, h.end, err == nil, err, l.sealable(h.end))
	}

	if err != nil {
		if got.Wire != nil {
			t.Fatal("what may not be sealed has a wire")
		}
		return
	}

	w.once.envelope(t, l, w.sessionID(l.session), got.Wire)
	w.envelopes = append(w.envelopes, sealed{l, got.Wire, got.SessionExport})
}

// sessionID returns a session's name; the zero session has the zero name.
func (w *world) sessionID(number int) envelope.SessionID {
	if number == 0 {
		return envelope.SessionID{}
	}
	return w.sessions[number-1]
}

// deliver takes an envelope that was sealed at any time, as it was or changed, to everybody through every mailbox.
func (w *world) deliver(t *rapid.T) {
	if len(w.envelopes) == 0 {
		return
	}
	n := len(w.envelopes) - 1 - recent(t, "envelope, from the last", len(w.envelopes))
	wire := w.envelopes[n].wire
	if oneIn(t, 4, "changed") {
		changed := tampered(t, wire)
		if other := w.envelopes[index(t, "other", len(w.envelopes))].wire; oneIn(t, 4, "spliced") &&
			len(other) == len(wire) && !bytes.Equal(other, wire) {
			at := one(t, "spliced at", 1129, len(wire)-16)
			changed = slices.Concat(wire[:at], other[at:])
		}

		w.bring(t, n, changed, false)
		return
	}
	w.bring(t, n, wire, true)
}

// tampered returns b with something changed.
func tampered(t *rapid.T, b []byte) []byte {
	switch c := bytes.Clone(b); one(t, "how", "flip", "flip", "cut", "lengthen", "empty") {
	case "flip":
		if len(c) > 0 {
			c[index(t, "byte", len(c))] ^= 1 << index(t, "bit", 8)
			return c
		}
		return []byte{0}
	case "cut":
		return c[:index(t, "to", max(len(c), 1))]
	case "lengthen":
		return append(c, byte(index(t, "more", 256)))
	}
	return nil
}

// bring takes the bytes of an envelope, changed or not, to all holders through all mailboxes.
func (w *world) bring(t *rapid.T, number int, wire []byte, genuine bool) {
	l := w.envelopes[number].letter
	for _, h := range w.holders() {
		for _, p := range w.places(h, l) {
			w.open(t, h, p, number, wire, genuine)
		}
	}
}

// places returns the mailboxes that a holder may have open, and those around the letter's.
func (w *world) places(h *holder, l letter) (all []place) {
	today := h.pair.Day(time.Now())
	days := []uint32{today - 1, today, today + 1}
	if l.through.session == 0 {
		days = append(days, l.through.day-1, l.through.day, l.through.day+1)
	}

	slices.Sort(days)
	for _, to := range []end{atCamera, atViewer} {
		for _, day := range slices.Compact(days) {
			all = append(all, place{to: to, day: day})
		}
		for n := range w.sessions {
			all = append(all, place{to: to, session: n + 1})
		}
	}

	return all
}

// open lets one holder try to open an envelope.
func (w *world) open(t *rapid.T, h *holder, p place, number int, wire []byte, genuine bool) {
	sent, now := w.envelopes[number], h.now(t)
	may := genuine && sent.opensFor(h.ring, h.end, p, now)
	got, err := h.pair.Open(w.mailbox(t, h, p), wire, now)
	if (err == nil) != may {
		t.Fatalf("envelope %d, by %+v through %+v, at %+v end %d through %+v: opens %t (%v), the oracle says %t",
			number, sent.by, sent.through, h.ring, h.end, p, err == nil, err, may)
	}

	w.happened[sent.event(h, p, genuine, may)]++
	if genuine && h.device != nil && sent.opensFor(h.ring, h.end, p, h.device.shown()) && !may {
		w.happened["old at a wrong clock"]++ // by what the clock shows, it would have opened
	}
	if err != nil {
		if got.Body != nil || got.Type != 0 || got.Session != (envelope.SessionID{}) || got.ReplayMark != [32]byte{} ||
			!got.SessionExport.Equal(envelope.Secret{}) {
			t.Fatalf("envelope %d does not open and something of it is revealed", number)
		}
		return
	}

	if got.Session != w.sessionID(sent.session) || got.Seq != sent.seq || int(got.Type) != sent.kind ||
		string(got.Body) != sent.body ||
		!got.Sent.Equal(sent.sent) || !got.Expiry.Equal(sent.expiry) || !got.SessionExport.Equal(sent.export) {
		t.Fatalf("envelope %d opens as something else: %+v, sealed was %+v", number, got.Message, sent.letter)
	}

	if h.accepted[number] {
		w.happened["again"]++
	}
	err = h.replays.Accept(got, now)
	if (err == nil) == h.accepted[number] {
		t.Fatalf("envelope %d accepted %t (%v), before by this process: %t", number, err == nil, err,
			h.accepted[number])
	}

	h.accepted[number] = true
	if h.device != nil && err == nil {
		before := h.device.kept.shown
		h.device.confirm(t, sent.sent)
		if h.device.kept.shown.After(before) {
			w.happened["confirmed"]++
		}
	}

	if s := h.scan; s != nil && s.holder == h && sent.kind == welcome {
		s.holder = nil
		w.commit(t, newHolder(h.pair, h.ring, h.end, h.device), s.relay)
	}
}

// jumpClock sets a device's clock ahead while it accepts one more envelope, and back again. Everything that it has
// accepted before is then delivered once more.
func (w *world) jumpClock(t *rapid.T) {
	d := w.drawDevice(t)
	for _, peer := range d.peers() {
		mine, theirs := d.pairs[peer], w.devices[peer-1].pairs[d.number]
		if theirs == nil || theirs.ring != mine.ring {
			continue
		}
		const ahead = 26 * time.Hour
		then := mine.now(t).Add(ahead).Truncate(time.Millisecond)
		last := len(w.envelopes)

		w.sealLetter(t, theirs, letter{
			by:      mine.ring,
			through: place{to: mine.end, day: mine.pair.Day(time.Now())},
			kind:    welcome,
			sent:    then,
			expiry:  then.Add(time.Minute),
		})

		d.clock += ahead
		w.bring(t, last, w.envelopes[last].wire, true)
		d.clock -= ahead
		for n := max(0, last-5); n < last; n++ {
			w.bring(t, n, w.envelopes[n].wire, true)
		}
	}
}

// event names what the delivery of an envelope to a holder through a mailbox is an example of.
func (s sealed) event(h *holder, p place, genuine, may bool) string {
	switch addressed := s.by == h.ring && s.through == p && p.to == h.end; {
	case may:
		return "opened"
	case !addressed:
		return "crossed"
	case !genuine:
		return "changed"
	}
	return "late"
}
