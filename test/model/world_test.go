package model

import (
	"fmt"
	"math/bits"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/crypto/expiry"
	"github.com/peephole-cam/peephole/crypto/identity"
	"github.com/peephole-cam/peephole/crypto/pairing"
)

// TestModel runs the model: doc.go says what it compares with the code.
func TestModel(t *testing.T) {
	happened := make(map[string]int)
	rapid.Check(t, func(t *rapid.T) {
		rapid.SyncTest(t, func(t *rapid.T) {
			w := newWorld(t, happened)
			for range stretches {
				t.Repeat(map[string]func(*rapid.T){"step": w.step})
			}
		})
		happened["worlds"]++
	})

	t.Log(happened)
	for _, event := range []string{"opened", "again", "late", "changed", "crossed", "paired in steps",
		"refused to scan", "removed", "rolled back", "forged", "old at a wrong clock", "began with a wrong clock",
		"confirmed"} {
		if happened[event] == 0 && happened["worlds"] >= 100 {
			t.Errorf("no %q in %d worlds: the model asks nothing about it", event, happened["worlds"])
		}
	}
}

// stretches multiplies the number of commands that -rapid.steps asks for: pairs must have come and gone before it gets
// hard.
const stretches = 3

// world holds the real devices and everything that the cloud has ever seen, beside what the oracle knows about each.
type world struct {
	dir       string
	devices   []*device                    // number n at n-1
	numbers   map[identity.Fingerprint]int // of devices
	codes     []code
	displays  []*display
	scans     []*scan
	attempts  []*attempt // number n at n-1, including those whose process is gone
	posts     []post
	envelopes []sealed
	sessions  []envelope.SessionID // number n at n-1
	secrets   map[int]secrets      // by the attempt that made them
	mailboxes map[mailboxOf]envelope.Mailbox
	impostors []*holder
	once      once
	happened  map[string]int // in all worlds, so that the test knows that it tests something
}

// secrets are the two secrets of a pair.
type secrets struct{ pair, mailbox envelope.Secret }

// device is a device: its disk, its clock, and the memory of its running process.
type device struct {
	number  int
	end     end
	dir     string
	clock   time.Duration // how far its clock is ahead
	boot    int           // how often it was started
	booted  time.Time     // when it last was; by the bubble's clock
	kept    kept          // what it has stored about its clock
	disk    disk
	backups []backup

	self   *identity.Private
	store  *pairing.Store
	expiry *expiry.Clock
	pairs  map[int]*holder // by the other end's device
}

// holder holds a pair's keys and opens what comes: a device, a scanner that waits for its welcome, or an impostor.
type holder struct {
	pair     *envelope.Pair
	ring     ring
	end      end
	device   *device // nil: an impostor
	scan     *scan   // nil: not one that waits
	replays  *envelope.Replays
	accepted map[int]bool // letters, by number
}

func newHolder(p *envelope.Pair, r ring, e end, d *device) *holder {
	return &holder{
		pair:     p,
		ring:     r,
		end:      e,
		device:   d,
		replays:  new(envelope.Replays),
		accepted: make(map[int]bool),
	}
}

// now returns the time that the holder believes it is.
func (h *holder) now(t *rapid.T) time.Time {
	if h.device == nil {
		return trueTime()
	}
	return h.device.now(t)
}

func newWorld(t *rapid.T, happened map[string]int) *world {
	dir, err := os.MkdirTemp("", "model")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})

	w := &world{
		dir:       dir,
		numbers:   make(map[identity.Fingerprint]int),
		secrets:   make(map[int]secrets),
		mailboxes: make(map[mailboxOf]envelope.Mailbox),
		once:      newOnce(),
		happened:  happened,
	}

	for _, e := range []end{atCamera, atViewer, atCamera, atViewer} {
		w.newDevice(t, e)
	}
	w.pairAll(t, w.devices[0], w.devices[1])
	w.pairAll(t, w.devices[0], w.devices[3])
	return w
}

const maxDevices = 6

func (w *world) newDevice(t *rapid.T, e end) {
	d := &device{number: len(w.devices) + 1, end: e, disk: make(disk), booted: time.Now()}
	d.dir = filepath.Join(w.dir, fmt.Sprint(d.number))
	w.start(t, d)
	w.devices = append(w.devices, d)
	w.numbers[d.self.Bundle().Fingerprint()] = d.number
}

// step runs one of the commands; those that matter more are drawn more often.
func (w *world) step(t *rapid.T) {
	commands := []struct {
		name  string
		often int
		do    func(*rapid.T)
	}{
		{"deliver", 8, w.deliver}, {"seal", 8, w.seal}, {"hand over", 20, w.handOver}, {"show code", 3, w.showCode},
		{"scan", 4, w.scanCode},
		{"pair", 1, w.pairAtOnce}, {"give up", 1, w.giveUp}, {"impostor", 2, w.newImpostor}, {"forge", 2, w.forge},
		{"restart", 2, w.restart}, {"reboot", 2, w.reboot},
		{"back up", 2, w.backUp}, {"roll back", 2, w.rollBack}, {"remove", 1, w.remove},
		{"pass time", 2, w.passTime}, {"set clock", 1, w.setClock}, {"clock jumps", 1, w.jumpClock},
		{"new device", 1, w.anotherDevice},
	}

	var names []string
	does := make(map[string]func(*rapid.T))
	for _, c := range commands {
		names = append(names, slices.Repeat([]string{c.name}, c.often)...)
		does[c.name] = c.do
	}
	does[one(t, "command", names...)](t)
}

// one draws one of several with equal chances: rapid's own generators prefer the first.
func one[T any](t *rapid.T, what string, all ...T) T {
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

// index draws a number below n, which must not be 0.
func index(t *rapid.T, what string, n int) int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return one(t, what, all...)
}

// recent draws a number below n; every other time, one of the first few.
func recent(t *rapid.T, what string, n int) int {
	if oneIn(t, 2, "of the last few") {
		n = min(n, 4)
	}
	return index(t, what, n)
}

// oneIn draws true once in n times.
func oneIn(t *rapid.T, n int, what string) bool { return index(t, what, n) == n-1 }

func (w *world) drawDevice(t *rapid.T) *device { return w.devices[index(t, "device", len(w.devices))] }

func (w *world) anotherDevice(t *rapid.T) {
	if len(w.devices) < maxDevices {
		w.newDevice(t, one(t, "end", atCamera, atViewer))
	}
}

// holders returns everybody who holds keys, in a fixed order.
func (w *world) holders() (all []*holder) {
	for _, d := range w.devices {
		for _, peer := range d.peers() {
			all = append(all, d.pairs[peer])
		}
	}

	for _, s := range w.scans {
		if s.holder != nil {
			all = append(all, s.holder)
		}
	}

	return append(all, w.impostors...)
}

func (d *device) peers() (numbers []int) {
	for n := range d.pairs {
		numbers = append(numbers, n)
	}
	slices.Sort(numbers)
	return numbers
}

const maxImpostors = 3

// newImpostor mixes the keys that anybody ever had into a pair of which some part is another's. If it happens to be a
// whole pair, its holder may open what the pair may.
func (w *world) newImpostor(t *rapid.T) {
	if len(w.secrets) == 0 {
		return
	}
	self, peer := w.drawDevice(t), w.drawDevice(t)
	e := one(t, "end", atCamera, atViewer)
	numbers := w.runs()

	r := ring{
		camera:  self.number,
		viewer:  peer.number,
		secret:  numbers[index(t, "pair secret", len(numbers))],
		mailbox: numbers[index(t, "mailbox secret", len(numbers))],
	}

	if e == atViewer {
		r.camera, r.viewer = peer.number, self.number
	}
	pair := &envelope.Pair{
		Self:          self.self,
		Role:          identity.Role(e),
		Peer:          peer.self.Bundle(),
		Secret:        w.secrets[r.secret].pair,
		MailboxSecret: w.secrets[r.mailbox].mailbox,
	}

	w.impostors = append(w.impostors, newHolder(pair, r, e, nil))
	if len(w.impostors) > maxImpostors {
		w.impostors = w.impostors[1:]
	}
}

// runs returns the attempts that have made a pair.
func (w *world) runs() (numbers []int) {
	for n := range w.secrets {
		numbers = append(numbers, n)
	}
	slices.Sort(numbers)
	return numbers
}

func (w *world) passTime(t *rapid.T) {
	time.Sleep(one(t, "time", time.Millisecond, time.Second, 20*time.Second, time.Minute, time.Minute, 2*time.Minute,
		10*time.Minute, 25*time.Hour, 90*oneDay))
	for _, d := range w.devices {
		d.keep(t)
	}
}

func (w *world) setClock(t *rapid.T) {
	d := w.drawDevice(t)
	d.clock = drawClock(t)
	d.keep(t)
}
