package model

import (
	"maps"
	"time"
)

// end is one of the two ends of a pair, and the direction towards it.
type end int

const (
	atCamera end = 1
	atViewer end = 2
)

func (e end) other() end { return 3 - e }

// ring is whose keys somebody holds: devices by number, secrets by the run of the pairing that made them.
type ring struct{ camera, viewer, secret, mailbox int }

func (r ring) at(e end) int {
	if e == atCamera {
		return r.camera
	}
	return r.viewer
}

// place is a mailbox among those of a ring.
type place struct {
	to      end
	session int    // 0: not a session's
	day     uint32 // of the pair's own mailboxes
}

// The kinds of envelopes, section 4 of doc/protocol.md.
const (
	welcome = 1
	offer   = 2
	answer  = 3
	refuse  = 4
)

const (
	longestBody = 32768 - 45
	skew        = 2 * time.Minute
)

// carries is the table of section 4: which kinds travel through a mailbox.
func (p place) carries(kind, session int) bool {
	switch kind {
	case welcome:
		return p.session == 0
	case offer:
		return p.session == 0 && p.to == atCamera
	case answer, refuse:
		return p.session != 0 && p.to == atViewer && p.session == session
	}
	return false
}

// letter is what somebody put into an envelope.
type letter struct {
	by           ring
	through      place
	kind         int
	session      int
	seq          uint64
	sent, expiry time.Time // to the millisecond
	body         string
}

// sealable says whether a letter may be sealed at all by who is at end from.
func (l letter) sealable(from end) bool {
	return l.through.to == from.other() && l.through.carries(l.kind, l.session) && len(l.body) <= longestBody
}

// opensFor says whether a letter opens for who holds r at end e, through the mailbox p, when the clock there shows now.
func (l letter) opensFor(r ring, e end, p place, now time.Time) bool {
	return l.by == r && e == p.to && l.through == p && !now.After(l.expiry.Add(skew))
}

// The kinds of messages in the rendezvous mailboxes, section 3.2.
const (
	hello   = 1
	m1      = 2
	m2      = 3
	m3      = 4
	refusal = 5
)

// word is a message of a rendezvous: which it is, of which code, and whose.
type word struct {
	kind    int // its first byte; 0: it has none
	genuine bool
	code    int
	attempt int // whose M1 or M3 this is, or whose M1 this M2 answers
}

// shown is what the oracle knows of a code and of the device that displays it.
type shown struct {
	code     int
	device   int
	end      end
	bound    int // the attempt that it is bound to; 0: none
	paired   bool
	forgot   bool
	deadline time.Time
}

// attempt is a scanner's go at a code.
type attempt struct {
	number int
	device int
	code   int
	of     int // the device that displays the code
	begun  bool
	paired bool
	forgot bool
}

// verdict is what a message leads to: the kind of the reply, 0 for none, and whether there is a pair now.
type verdict struct {
	reply  int
	paired bool
}

// hears is what a displayer does with a message.
func (s *shown) hears(w word, from *attempt, now time.Time) verdict {
	expired := now.After(s.deadline)
	switch {
	case s.forgot:
		return verdict{}
	case w.kind == m1 && w.genuine && w.code == s.code && w.attempt == s.bound && !expired:
		return verdict{reply: m2}
	case w.kind == m1 && (s.paired || expired || s.bound != 0):
		return verdict{reply: refusal}
	case w.kind == m1 && w.genuine && w.code == s.code && from.device != s.device:
		s.bound = w.attempt
		return verdict{reply: m2}
	case w.kind == m1:
		return verdict{reply: refusal}
	case w.kind == m3 && w.genuine && s.bound != 0 && w.attempt == s.bound && !s.paired && !expired:
		s.paired = true
		return verdict{paired: true}
	}
	return verdict{}
}

// hears is what a scanner does with a message. A copy of what it had, or what only looks like one, gets the same reply again.
func (a *attempt) hears(w word) verdict {
	mine := w.genuine && w.code == a.code
	switch {
	case a.forgot:
	case w.kind == hello && (a.begun || mine && a.of != a.device):
		a.begun = true
		return verdict{reply: m1}
	case w.kind == m2 && a.paired:
		return verdict{reply: m3}
	case w.kind == m2 && a.begun && mine && w.attempt == a.number:
		a.paired = true
		return verdict{reply: m3, paired: true}
	}
	return verdict{}
}

// ringOf is the pair that an attempt makes.
func (a *attempt) ringOf(displayer end) ring {
	r := ring{camera: a.of, viewer: a.device, secret: a.number, mailbox: a.number}
	if displayer == atViewer {
		r.camera, r.viewer = a.device, a.of
	}
	return r
}

// file is a pair on a disk, and whose device wrote it.
type file struct {
	of    int
	by    ring
	relay string
	name  string
}

// disk is a device's pairs, by the other end's device.
type disk map[int]file

// held is what a device holds that starts from its disk: not what another device wrote there.
func (d disk) held(device int) map[int]file {
	own := maps.Clone(d)
	maps.DeleteFunc(own, func(_ int, f file) bool { return f.of != device })
	return own
}
