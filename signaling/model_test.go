package signaling_test

import (
	"context"
	"fmt"
	"math/bits"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/peephole-cam/peephole/signaling"
)

// TestRelayModel lets real clients open, close, send to and read from mailboxes of a real relay, in random order.
// Meanwhile connections break, the relay restarts and forgets everything, time passes, and a stranger knocks without
// the keys. After each step an oracle, which is a list of messages, knows who must have got which. A reader gets the
// messages that wait when it opens the mailbox and those that arrive while it is open, until they are acked or expire:
// once for each opening, and in order, except for messages that are not kept. Nobody else gets anything. Network and
// clock are inside the test.
func TestRelayModel(t *testing.T) {
	happened := make(map[string]int)
	rapid.Check(t, func(t *rapid.T) {
		rapid.SyncTest(t, func(t *rapid.T) {
			w := newRelayWorld(t, happened)
			defer w.end()
			for range 2 {
				t.Repeat(map[string]func(*rapid.T){"step": w.step})
			}
		})
		happened["worlds"]++
	})

	t.Log(happened)
	for _, event := range []string{"delivered", "waited", "came again", "acked", "expired", "forgotten", "knocked"} {
		if happened[event] == 0 && happened["worlds"] >= 100 {
			t.Errorf("%q happened in none of %d worlds, so the model does not test it", event, happened["worlds"])
		}
	}
}

// reading is a mailbox that a station reads.
type reading struct {
	mailbox int
	acks    string // "all", "some" or "none"
	stop    func()

	opened bool  // it was opened in this step
	got    []int // the messages that have arrived since it was opened

	mu  sync.Mutex
	new []string // guarded by mu; bodies that arrived in this step
}

// message is what the oracle knows about a message.
type message struct {
	mailbox int
	life    int // which life of the relay it was posted in
	kept    bool
	expires time.Time
	acked   bool
	posted  bool // it was posted in this step
	came    bool // somebody has got it
}

type relayWorld struct {
	mu    sync.Mutex
	relay *relay // guarded by mu
	life  int
	began time.Time // when this step began

	// atOnce: a message is sent in this step while mailboxes are being opened, so older messages may arrive after it.
	atOnce bool

	boxes    []signaling.Mailbox
	stations []*station
	messages []*message // number n has index n-1
	happened map[string]int
}

func newRelayWorld(t *rapid.T, happened map[string]int) *relayWorld {
	w := &relayWorld{relay: startRelay(t), life: 1, happened: happened}
	for range 3 {
		w.boxes = append(w.boxes, newMailbox(t))
	}
	for n := range 3 {
		w.stations = append(w.stations, w.newStation(t, n+1))
	}

	return w
}

func (w *relayWorld) end() {
	for _, s := range w.stations {
		s.stop()
	}
	w.relay.stop()
}

func (w *relayWorld) step(t *rapid.T) {
	for _, m := range w.messages {
		m.posted = false
	}
	w.each(func(_ *station, r *reading) { r.opened = false })
	w.began, w.atOnce = time.Now(), false
	switch command := pick(t, "command", "send", "send", "send", "send", "read", "read", "stop reading", "cut",
		"start anew", "restart relay", "pass time", "knock", "hold", "send at once"); command {
	case "send":
		w.send(t)
	case "read":
		w.read(t)
	case "send at once": // before a mailbox that is being opened has delivered what waits in it
		w.atOnce = true
		w.read(t)
		w.send(t)
	case "stop reading":
		s := w.drawStation(t)
		if r := s.reads[w.drawBox(t)]; r != nil {
			if pick(t, "writes on", true, false) {
				w.hold(t, s, r.mailbox)
			}
			r.stop()
			delete(s.reads, r.mailbox)
			s.ghosts[r.mailbox] = true
		}
	case "cut":
		w.cut(w.drawStation(t))
	case "start anew":
		w.startAnew(t)
	case "restart relay":
		w.restartRelay(t)
	case "pass time":
		time.Sleep(pick(t, "time", time.Second, 31*time.Second, 11*time.Minute))
	case "knock":
		w.knock(t)
	case "hold":
		w.hold(t, w.drawStation(t), w.drawBox(t))
	}

	synctest.Wait()
	w.check(t)
}

// pick draws one of several values, each equally often. rapid's own generators prefer the first.
func pick[T any](t *rapid.T, what string, all ...T) T {
	return rapid.Custom(func(t *rapid.T) T {
		var n uint
		for range bits.Len(uint(len(all))) + 4 {
			if n <<= 1; rapid.Bool().Draw(t, "") {
				n++
			}
		}
		return all[n%uint(len(all))]
	}).Draw(t, what)
}

func (w *relayWorld) drawStation(t *rapid.T) *station { return w.stations[pick(t, "station", 0, 1, 2)] }

func (w *relayWorld) drawBox(t *rapid.T) int { return pick(t, "mailbox", 0, 1, 2) }

func (w *relayWorld) each(do func(*station, *reading)) {
	for _, s := range w.stations {
		for box := range w.boxes {
			if r := s.reads[box]; r != nil {
				do(s, r)
			}
		}
	}
}

func (w *relayWorld) send(t *rapid.T) {
	s, box, ttl := w.drawStation(t), w.drawBox(t), pick(t, "ttl", 0, 30*time.Second, 10*time.Minute, time.Hour)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	w.messages = append(w.messages, &message{
		mailbox: box,
		life:    w.life,
		kept:    ttl > 0,
		expires: time.Now().Add(ttl),
		posted:  true,
	})

	if err := s.client.Send(ctx, w.boxes[box], []byte(fmt.Sprint(len(w.messages))), ttl); err != nil {
		t.Fatalf("send: %v", err)
	}
}

// hold keeps a mailbox open for writing for a while, as a sender of several messages does.
func (w *relayWorld) hold(t *rapid.T, s *station, box int) {
	release := s.client.Keep(w.boxes[box])
	s.holds[box].Add(1)
	time.AfterFunc(pick(t, "for", time.Second, time.Minute), func() {
		release()
		s.holds[box].Add(-1)
	})
}

// read lets a station read a mailbox, unless two others already do: a third reader would replace one of them
// (signaling/server TestThirdReaderReplacesTheOldest).
func (w *relayWorld) read(t *rapid.T) {
	s, box := w.drawStation(t), w.drawBox(t)
	others := 0
	for _, o := range w.stations {
		if o != s && o.readsAt(box) {
			others++
		}
	}

	if s.reads[box] == nil && others < 2 {
		w.open(s, box, pick(t, "acks", "all", "all", "some", "none"))
	}
}

func (w *relayWorld) open(s *station, box int, acks string) {
	r := &reading{mailbox: box, acks: acks, opened: true}
	s.reads[box] = r
	r.stop = s.client.Receive(w.boxes[box], func(d signaling.Delivery) bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.new = append(r.new, string(d.Body))
		return r.acksBody(string(d.Body))
	})
}

// acksBody reports whether a reading acks a message: it acks all of them, every other one, or none.
func (r *reading) acksBody(body string) bool {
	return r.acks == "all" || r.acks == "some" && body[len(body)-1]%2 == 0
}

// cut breaks a station's connection; the station reconnects by itself.
func (w *relayWorld) cut(s *station) {
	w.mu.Lock()
	for _, l := range s.lines {
		l.cut()
	}
	s.lines = nil
	w.mu.Unlock()
	w.reopen(s)
	s.back()
}

// reopen notes that a station opens all its mailboxes again.
func (w *relayWorld) reopen(s *station) {
	for _, r := range s.reads {
		r.opened, r.got = true, nil
	}
}

// startAnew restarts a station's process.
func (w *relayWorld) startAnew(t *rapid.T) {
	old := w.drawStation(t)
	old.stop()
	synctest.Wait() // until the relay has noticed; otherwise the station could count as a third reader
	s := w.newStation(t, old.number)
	w.stations[old.number-1] = s
	for box := range w.boxes {
		if r := old.reads[box]; r != nil {
			w.open(s, box, r.acks)
		}
	}
	s.back()
}

// restartRelay replaces the relay by one without memory.
func (w *relayWorld) restartRelay(t *rapid.T) {
	w.relay.stop()
	for _, m := range w.messages {
		if m.waits(w.life, time.Now()) {
			w.happened["forgotten"]++
		}
	}

	r := startRelay(t)
	w.mu.Lock()
	w.relay = r
	w.mu.Unlock()
	w.life++
	for _, s := range w.stations {
		w.reopen(s)
		s.back()
	}
}

// waits reports whether a message is in a mailbox in the relay's current life.
func (m *message) waits(life int, now time.Time) bool {
	return m.kept && !m.acked && m.life == life && now.Before(m.expires)
}

// check compares the messages that arrived in this step with the oracle, and then applies the acks.
func (w *relayWorld) check(t *rapid.T) {
	var acked []*message
	w.each(func(s *station, r *reading) {
		r.mu.Lock()
		came := r.new
		r.new = nil
		r.mu.Unlock()
		for _, body := range came {
			var n int
			if _, err := fmt.Sscan(body, &n); err != nil || n < 1 || n > len(w.messages) {
				t.Fatalf("station %d: mailbox %d delivers %q, which nobody sent", s.number, r.mailbox, body)
			}
			m := w.messages[n-1]
			wrong := m.mailbox != r.mailbox || m.life != w.life || !m.posted && (!r.opened || !m.waits(w.life, w.began))
			if wrong || r.disorder(n, w.messages) && !(r.opened && w.atOnce) {
				t.Fatalf("station %d: mailbox %d delivers message %d %+v after %v, opened now: %t, life %d", s.number,
					r.mailbox, n, *m, r.got, r.opened, w.life)
			}

			w.note(m, r)
			if r.got = append(r.got, n); r.acksBody(body) {
				acked = append(acked, m)
				w.happened["acked"]++
			}
		}
	})

	for _, m := range acked {
		m.acked = true
	}
	w.each(func(s *station, r *reading) { w.missing(t, s, r) })
}

// disorder reports whether a reading gets a message twice, or after a later one.
func (r *reading) disorder(n int, all []*message) bool {
	return slices.Contains(r.got, n) || slices.ContainsFunc(r.got, func(o int) bool {
		return o > n && all[o-1].kept && all[n-1].kept
	})
}

func (w *relayWorld) note(m *message, r *reading) {
	w.happened["delivered"]++
	if !m.posted {
		w.happened["waited"]++
	}
	if r.opened && m.came {
		w.happened["came again"]++
	}
	m.came = true
}

// missing fails if a reading lacks a message that has been waiting since the mailbox was opened.
func (w *relayWorld) missing(t *rapid.T, s *station, r *reading) {
	for i, m := range w.messages {
		came := slices.Contains(r.got, i+1)
		if m.mailbox == r.mailbox && !came && (m.posted && !r.opened || r.opened && m.waits(w.life, time.Now())) {
			t.Fatalf("station %d: mailbox %d has not delivered message %d %+v", s.number, r.mailbox, i+1, *m)
		}
		if m.mailbox == r.mailbox && r.opened && !came && m.kept && !m.acked && m.life == w.life {
			w.happened["expired"]++
		}
	}
}

// knock connects as a stranger who knows a mailbox's name and public keys, and a signature from another connection.
func (w *relayWorld) knock(t *rapid.T) {
	w.happened["knocked"]++
	stranger, err := dialStranger(w.relay)
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.close()

	box := w.boxes[w.drawBox(t)]
	signed := pick(t, "signed", "by own keys", "by the other key", "on another connection", "at another relay",
		"for the other access", halfTheKeys)
	stranger.say(t, stranger.forged(t, box, pick(t, "access", signaling.Read, signaling.Write), signed))
	for _, f := range []signaling.Frame{
		signaling.Post{ID: 2, Name: box.Name(), TTL: 60, Body: []byte("0")}, signaling.Ack{Name: box.Name(), Seq: 1},
		signaling.GrantRequest{ID: 3, Name: box.Name()}, signaling.Close{Name: box.Name()},
		signaling.Reject{Name: box.Name(), Seq: 1},
	} {
		stranger.say(t, f)
	}

	synctest.Wait()
	for _, f := range stranger.heard() {
		ownBox := signed == halfTheKeys && f == signaling.OK{ID: 1}
		if _, refused := f.(signaling.Refused); !refused && !ownBox {
			t.Fatalf("a stranger hears %T", f)
		}
	}
}
