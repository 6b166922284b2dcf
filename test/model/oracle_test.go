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

// ring says whose keys somebody holds: devices by number, secrets by the run of the pairing that made them.
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
	day     uint32 // for the pair's own mailboxes
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
	longestLife = 10 * time.Minute
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

// sealable reports whether the holder at end from may seal the letter at all.
func (l letter) sealable(from end) bool {
	return l.through.to == from.other() && l.through.carries(l.kind, l.session) && len(l.body) <= longestBody &&
		l.expiry.Sub(l.sent) <= longestLife
}

// opensFor reports whether a letter opens for the holder of r at end e, through the mailbox p, when the clock there
// shows now.
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

// word is a message of a rendezvous: its kind, its code, and its sender.
type word struct {
	kind    int // its first byte; 0: it has none
	genuine bool
	code    int
	attempt int // whose M1 or M3 this is, or whose M1 this M2 answers
}

// shown is what the oracle knows about a code and the device that displays it.
type shown struct {
	code     int
	device   int
	end      end
	bound    int // the attempt that it is bound to; 0: none
	paired   bool
	forgot   bool
	refused  int
	deadline time.Time
}

// attempt is a scanner's attempt to pair by a code.
type attempt struct {
	number int
	device int
	code   int
	of     int // the device that displays the code
	begun  bool
	paired bool
	forgot bool

	refused int // M2s
}

// verdict is the effect of a message: the kind of the reply, 0 for none, and whether there is a pair now.
type verdict struct {
	reply  int
	paired bool
}

// maxRefused is how many messages an end refuses before it listens to no more of them.
const maxRefused = 16

// hears returns what a displayer does with a message. Once it has refused too many, it neither answers nor reads any
// more.
func (s *shown) hears(w word, from *attempt, now time.Time) verdict {
	v, refuses := s.judges(w, from, now)
	if refuses {
		s.refused++
	}
	if refuses && s.refused > maxRefused {
		return verdict{}
	}
	return v
}

// judges returns what a displayer makes of a message, and whether it refuses it.
func (s *shown) judges(w word, from *attempt, now time.Time) (v verdict, refuses bool) {
	expired := now.After(s.deadline)
	deaf := s.bound == 0 && !s.paired && !expired && s.refused >= maxRefused
	switch {
	case s.forgot || w.kind == m1 && deaf:
		return verdict{}, false
	case w.kind == m1 && w.genuine && w.code == s.code && w.attempt == s.bound && !expired:
		return verdict{reply: m2}, false
	case w.kind == m1 && (s.paired || expired || s.bound != 0):
		return verdict{reply: refusal}, true
	case w.kind == m1 && w.genuine && w.code == s.code && from.device != s.device:
		s.bound = w.attempt
		return verdict{reply: m2}, false
	case w.kind == m1:
		return verdict{reply: refusal}, true
	case w.kind == m3 && w.genuine && s.bound != 0 && w.attempt == s.bound && !s.paired && !expired:
		s.paired = true
		return verdict{paired: true}, false
	case w.kind == m3:
		return verdict{}, s.bound != 0 && !s.paired && !expired
	}

	return verdict{}, true
}

// hears returns what a scanner does with a message. A copy of an earlier one, or something that looks like one, gets
// the same reply again.
func (a *attempt) hears(w word) verdict {
	mine := w.genuine && w.code == a.code
	switch {
	case a.forgot:
	case w.kind == hello && (a.begun || mine && a.of != a.device):
		a.begun = true
		return verdict{reply: m1}
	case w.kind == m2 && a.paired:
		return verdict{reply: m3}
	case w.kind == m2 && a.begun && a.refused < maxRefused && mine && w.attempt == a.number:
		a.paired = true
		return verdict{reply: m3, paired: true}
	case w.kind == m2 && a.begun:
		a.refused++
	}

	return verdict{}
}

// ringOf returns the pair that an attempt makes.
func (a *attempt) ringOf(displayer end) ring {
	r := ring{camera: a.of, viewer: a.device, secret: a.number, mailbox: a.number}
	if displayer == atViewer {
		r.camera, r.viewer = a.device, a.of
	}
	return r
}

// file is a pair on a disk, and the device that wrote it.
type file struct {
	of    int
	by    ring
	relay string
	name  string
}

// disk holds a device's pairs, by the other end's device.
type disk map[int]file

// held returns what a device holds that starts from its disk, without the pairs that another device wrote there.
func (d disk) held(device int) map[int]file {
	own := maps.Clone(d)
	maps.DeleteFunc(own, func(_ int, f file) bool { return f.of != device })
	return own
}
