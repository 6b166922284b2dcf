package model

import (
	"bytes"
	"errors"
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/crypto/identity"
	"github.com/peephole-cam/peephole/crypto/pairing"
)

// code is a code as somebody saw it: a photograph of it outlives the display.
type code struct {
	pairing.Code
	shown shown // as it was when the code appeared
}

// display is a device that shows a code, in the memory of its process.
type display struct {
	*pairing.Displayer
	shown
	device *device
	relay  string
}

// scan is a device that has read a code, in the memory of its process.
type scan struct {
	*pairing.Scanner
	*attempt
	device *device
	relay  string
	holder *holder // waits for the welcome; nil before there is a pair, and after the welcome
}

// post is a message of a rendezvous. The cloud keeps all of them.
type post struct {
	word
	bytes []byte
}

const (
	maxDisplays = 4
	maxScans    = 4
)

func (w *world) showCode(t *rapid.T) {
	ttl := one(t, "good for", 10*time.Minute, 10*time.Minute, time.Minute, -time.Second)
	w.show(t, w.drawDevice(t), ttl)
}

func (w *world) show(t *rapid.T, d *device, ttl time.Duration) *display {
	relay := one(t, "relay", "https://a.example", "https://b.example:444")
	displayer, err := pairing.NewDisplayer(d.self, identity.Role(d.end), relay, ttl)
	if err != nil {
		t.Fatal(err)
	}
	s := shown{code: len(w.codes) + 1, device: d.number, end: d.end, deadline: time.Now().Add(ttl)}
	read, err := pairing.Parse(displayer.Code().URI()) // as a lens reads it
	if err != nil {
		t.Fatalf("the code does not read: %v", err)
	}

	w.codes = append(w.codes, code{read, s})
	shows := &display{displayer, s, d, relay}
	w.displays = append(w.displays, shows)
	if len(w.displays) > maxDisplays {
		w.displays = w.displays[1:]
	}

	first := displayer.Hello()
	w.once.hello(t, s.code, first, d.self.Bundle().Bytes())
	w.posts = append(w.posts, post{word{kind: hello, genuine: true, code: s.code}, first})
	return shows
}

func (w *world) scanCode(t *rapid.T) {
	if len(w.codes) > 0 {
		w.scan(w.drawDevice(t), w.drawCode(t))
	}
}

// drawCode draws a code: one that is on display, or a photograph of an old one.
func (w *world) drawCode(t *rapid.T) code {
	if len(w.displays) > 0 && !oneIn(t, 4, "a photograph") {
		return w.codes[w.displays[index(t, "display", len(w.displays))].code-1]
	}
	return w.codes[index(t, "code", len(w.codes))]
}

func (w *world) scan(d *device, c code) *scan {
	a := &attempt{number: len(w.attempts) + 1, device: d.number, code: c.shown.code, of: c.shown.device}
	w.attempts = append(w.attempts, a)
	s := &scan{Scanner: pairing.NewScanner(d.self, c.Code), attempt: a, device: d, relay: c.RelayURL}
	w.scans = append(w.scans, s)
	if len(w.scans) > maxScans {
		w.scans = w.scans[1:]
	}

	return s
}

// errand is a message on its way to a display or to a scanner.
type errand struct {
	post    post
	display *display // or
	scan    *scan
}

// handOver takes a message that was posted at any time, as it was or changed, to any display or scanner. Every other
// time it is one that advances a pairing.
func (w *world) handOver(t *rapid.T) {
	if len(w.displays)+len(w.scans) == 0 || len(w.posts) == 0 {
		return
	}
	var e errand
	if next := w.awaited(); len(next) > 0 && !oneIn(t, 3, "any") {
		e = next[len(next)-1-index(t, "errand, from the last", min(len(next), 3))]
	} else {
		n := index(t, "to", len(w.displays)+len(w.scans))
		if e.post = w.posts[len(w.posts)-1-recent(t, "message, from the last", len(w.posts))]; n < len(w.displays) {
			e.display = w.displays[n]
		} else {
			e.scan = w.scans[n-len(w.displays)]
		}
	}

	if oneIn(t, 6, "changed") {
		if e.post = (post{word{}, tampered(t, e.post.bytes)}); len(e.post.bytes) > 0 {
			e.post.kind = int(e.post.bytes[0])
		}
	}

	if e.scan != nil {
		w.toScanner(t, e.scan, e.post)
		return
	}
	before := e.display.paired
	if w.toDisplay(t, e.display, e.post); e.display.paired && !before {
		w.happened["paired in steps"]++
	}
}

// awaited returns the messages that somebody waits for; those that advance a pairing furthest come last.
func (w *world) awaited() (all []errand) {
	for _, p := range w.posts {
		for _, d := range w.displays {
			if open := !d.forgot && !d.paired && !time.Now().After(d.deadline); open && p.word.code == d.code &&
				(p.kind == m1 && d.bound == 0 || p.kind == m3 && p.attempt == d.bound) {
				all = append(all, errand{post: p, display: d})
			}
		}
		for _, s := range w.scans {
			if !s.attempt.forgot && p.word.code == s.attempt.code &&
				(p.kind == hello && !s.begun || p.kind == m2 && p.attempt == s.number && !s.attempt.paired) {
				all = append(all, errand{post: p, scan: s})
			}
		}
	}

	slices.SortStableFunc(all, func(a, b errand) int { return a.post.kind - b.post.kind })
	return all
}

// toDisplay lets a display handle a message, and returns its reply.
func (w *world) toDisplay(t *rapid.T, d *display, p post) (reply post) {
	var from *attempt
	if p.attempt > 0 {
		from = w.attempts[p.attempt-1]
	}
	want := d.shown.hears(p.word, from, time.Now())
	got := d.Handle(p.bytes)
	if (got.Reply != nil) != (want.reply != 0) || got.Reply != nil && int(got.Reply[0]) != want.reply ||
		(got.Pair != nil) != want.paired {
		t.Fatalf("display of code %d handles %+v: reply %t, pair %t (refuse: %v), the oracle says %+v", d.code, p.word,
			got.Reply != nil, got.Pair != nil, got.Refuse, want)
	}

	if got.Reply != nil {
		reply = post{word{kind: want.reply, genuine: true, code: d.code}, got.Reply}
		if want.reply == refusal {
			w.happened["refused to scan"]++
		}
		if want.reply == m2 {
			reply.attempt = d.bound
		}
		w.say(t, reply)
	}

	if got.Pair != nil {
		w.paired(t, d, got.Pair)
	}
	return reply
}

// toScanner lets a scanner handle a message, and returns its reply.
func (w *world) toScanner(t *rapid.T, s *scan, p post) (reply post) {
	before := s.attempt.paired
	want := s.attempt.hears(p.word)
	got, err := s.Handle(p.bytes)
	if (got != nil) != (want.reply != 0) || got != nil && int(got[0]) != want.reply ||
		(s.Pair() != nil) != (before || want.paired) {
		t.Fatalf("scanner %d of code %d handles %+v: reply %t, pair %t (%v), the oracle says %+v", s.number,
			s.attempt.code, p.word, got != nil, s.Pair() != nil, err, want)
	}

	if refused := err != nil && !errors.Is(err, pairing.ErrInvalid); refused &&
		(p.kind != refusal || !p.genuine || p.word.code != s.attempt.code) {
		t.Fatalf("scanner %d of code %d takes %+v for its display's refusal: %v", s.number, s.attempt.code, p.word, err)
	}
	if got != nil {
		reply = post{word{kind: want.reply, genuine: true, code: s.attempt.code, attempt: s.number}, got}
		w.say(t, reply)
	}

	if want.paired {
		w.tell(t, s)
	}
	return reply
}

// say posts a message. A copy of an earlier one must be the same, byte for byte.
func (w *world) say(t *rapid.T, p post) {
	for _, earlier := range w.posts {
		if p.kind != refusal && earlier.word == p.word {
			if !bytes.Equal(earlier.bytes, p.bytes) {
				t.Fatalf("%+v was said again in other bytes", p.word)
			}
			return
		}
	}

	w.once.rendezvous(t, p, w)
	w.posts = append(w.posts, p)
}

// tell records what a scanner holds once M2 has verified: a pair that still waits for its welcome.
func (w *world) tell(t *rapid.T, s *scan) {
	displayer := w.codes[s.attempt.code-1].shown.end
	pair, r := s.Pair(), s.attempt.ringOf(displayer)
	w.once.secrets(t, s.number, secrets{pair.Secret, pair.MailboxSecret})
	w.secrets[s.number] = secrets{pair.Secret, pair.MailboxSecret}
	w.same(t, pair, r, displayer.other())
	s.holder = newHolder(pair, r, displayer.other(), s.device)
	s.holder.scan = s
}

// paired commits a displayer's new pair, seals its welcome and records that the code is used.
func (w *world) paired(t *rapid.T, d *display, pair *envelope.Pair) {
	r := w.attempts[d.bound-1].ringOf(d.end)
	if made := w.secrets[d.bound]; !pair.Secret.Equal(made.pair) || !pair.MailboxSecret.Equal(made.mailbox) {
		t.Fatalf("code %d: both ends made different secrets", d.code)
	}
	w.same(t, pair, r, d.end)
	w.commit(t, newHolder(pair, r, d.end, d.device), d.relay)
	h := d.device.pairs[r.at(d.end.other())]
	now := h.now(t).Truncate(time.Millisecond)

	l := letter{
		by:      r,
		through: place{to: d.end.other(), day: pair.Day(time.Now())},
		kind:    welcome,
		sent:    now,
		expiry:  now.Add(10 * time.Minute),
		body:    `{"name":"x"}`,
	}

	w.sealLetter(t, h, l)
	if oneIn(t, 2, "leaves word") {
		w.say(t, post{word{kind: refusal, genuine: true, code: d.code}, d.Used()})
	}
}

// same fails unless a pair belongs to the devices and the end that the oracle says.
func (w *world) same(t *rapid.T, p *envelope.Pair, r ring, e end) {
	if w.numbers[p.Camera()] != r.camera || w.numbers[p.Viewer()] != r.viewer || end(p.Role) != e {
		t.Fatalf("a pair of camera %d and viewer %d at %v, the oracle says %+v at end %d", w.numbers[p.Camera()],
			w.numbers[p.Viewer()], p.Role, r, e)
	}
}

func (w *world) pairAtOnce(t *rapid.T) {
	if displays, scans := w.drawDevice(t), w.drawDevice(t); displays.end != scans.end {
		w.pairAll(t, displays, scans)
	}
}

// pairAll performs a pairing that nobody disturbs. Afterwards both ends hold the same pair.
func (w *world) pairAll(t *rapid.T, displays, scans *device) {
	d := w.show(t, displays, 10*time.Minute)
	s := w.scan(scans, w.codes[len(w.codes)-1])
	heard := w.toScanner(t, s, w.posts[len(w.posts)-1])
	heard = w.toDisplay(t, d, heard)
	heard = w.toScanner(t, s, heard)
	w.toDisplay(t, d, heard)
	w.bring(t, len(w.envelopes)-1, w.envelopes[len(w.envelopes)-1].wire, true)
	if !oneIn(t, 4, "both stay at it") {
		w.displays = without(w.displays, func(one *display) bool { return one == d })
		w.scans = without(w.scans, func(one *scan) bool { return one == s && s.holder == nil })
	}

	if scans.now(t).Sub(displays.now(t)) <= 10*time.Minute && (s.holder != nil || scans.pairs[displays.number] == nil) {
		t.Fatal("the scanner of an undisturbed pairing holds no pair")
	}
}

func (w *world) giveUp(t *rapid.T) {
	if len(w.displays)+len(w.scans) == 0 {
		return
	}
	n := index(t, "who", len(w.displays)+len(w.scans))
	if n < len(w.displays) {
		w.displays[n].Forget()
		w.displays[n].forgot = true
		return
	}

	s := w.scans[n-len(w.displays)]
	s.Forget()
	s.attempt.forgot = true
}
