package e2e

import (
	"context"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/test/evilcloud"
)

// fault is one row of the table: a cloud that fails in one way while two households watch.
type fault struct {
	name    string
	relayed bool // they watch through TURN only
	goes    bool // their sessions continue, rather than start anew under the fault
	// the repair closes all connections, as when somebody replaces a proxy
	ends   bool
	nodes  int                                    // one node for each household; 0: one for both
	record func(c *evilcloud.Cloud)               // before anything else; may be nil
	begin  func(t *testing.T, c *evilcloud.Cloud) // the fault
	acted  func(n evilcloud.Counts) int64         // how often the fault has acted
	plays  playing
	told   []string // what people must read, exactly
	either []string // what people must read one of; nil: of none
	may    []string // what people may read besides
}

// playing reports whether the right picture is shown while the cloud fails.
type playing int

const (
	never playing = iota
	always
	sometimes // depending on whose packets come first
)

// home is a household under a fault.
type home struct {
	*household
	name   string
	viewer watcher
	seen   *seen // of the stream
	stills *seen // of stills that were asked for
	ended  chan error
}

// Several faults act at a time, each in a cloud of its own: at least minFaults, and up to maxFaults while the machine
// has time for another. They mostly wait, but on an overloaded machine people wait longer, and give up.
const minFaults, maxFaults = 3, 20

// A turnstile limits how many faults act at a time.
type turnstile struct{ inside atomic.Int64 }

// enter waits until there is room for another fault.
func (g *turnstile) enter() {
	for g.inside.Load() >= minFaults {
		look := startStopwatch()
		<-time.After(100 * time.Millisecond)
		if g.inside.Load() < maxFaults && look.lost() < time.Since(look.began)/2 {
			break
		}
	}
	g.inside.Add(1)
}

func (g *turnstile) leave() { g.inside.Add(-1) }

// Under every fault that a cloud can have, nobody sees or gets anything that is a stranger's, everybody is informed,
// and the right picture comes back by itself when the fault is over. PEEPHOLE_FAULTS_TABLE names a file for the table.
func TestNobodySeesAStrangerUnderAnyFault(t *testing.T) {
	t.Parallel()
	faults := slices.Concat(deliveryFaults(), frameFaults(), rewriting(t), grantFaults(), packetFaults(), stateFaults())
	rows := make([]faultRow, len(faults))
	var g turnstile
	var all sync.WaitGroup
	for i, f := range faults {
		g.enter()
		all.Go(func() {
			defer g.leave()
			t.Run(f.name, func(t *testing.T) { rows[i] = f.run(t) })
		})
	}

	all.Wait()
	writeFaults(t, rows)
}

func (f fault) cloud(t *testing.T, p *tape) *evilcloud.Cloud {
	cfg := evilcloud.Config{Middle: true, Remember: 4096, Tape: p}
	for range max(1, f.nodes) {
		cfg.Signaling, cfg.TURN = append(cfg.Signaling, "127.0.0.1:0"), append(cfg.TURN, "127.0.0.1:0")
	}
	return startCloud(t, cfg)
}

// run takes two households through the fault and out of it.
func (f fault) run(t *testing.T) faultRow {
	p := &tape{}
	c := f.cloud(t, p)
	if f.record != nil {
		f.record(c)
	}

	homes := moveIn(t, c, f.relayed)
	for _, h := range homes {
		eventually(t, h.name+" has its picture before the fault", func() bool { return !h.seen.lastRight().IsZero() })
	}
	acted := f.interrupt(t, c, homes)
	before := make([]counted, len(homes))
	for i, h := range homes {
		before[i] = h.seen.counted()
	}

	stopStills := askForStills(t, homes)
	defer func() {
		if t.Failed() {
			for i, h := range homes {
				t.Logf("%s: before %+v, now %+v, told %q, of stills %q; acted %d", h.name, before[i], h.seen.counted(),
					h.seen.sentences(), h.stills.sentences(), f.acted(c.Counts())-acted)
			}
		}
	}()

	eventually(t, "the fault acts, and everybody has seen and heard of it what there is", func() bool {
		for i, h := range homes {
			if !f.felt(before[i], h.seen.counted()) {
				return false
			}
		}
		return f.acted(c.Counts()) > acted && len(f.untold(homes)) == 0
	})

	stopStills()
	for i, h := range homes {
		if now := h.seen.counted(); f.plays == never && now.frames > before[i].frames {
			t.Errorf("%s was shown %d frames under a fault under which nothing can be shown", h.name,
				now.frames-before[i].frames)
		}
	}

	c.Heal()
	if f.ends {
		c.HangUp()
	}
	back := comeBack(t, homes, time.Now())
	return f.judge(t, homes, p, back)
}

// felt reports whether a person has noticed the fault: by the picture under it, or because there is none.
func (f fault) felt(before, now counted) bool {
	shown := now.frames >= before.frames+20
	failed := now.rejected+now.retries > before.rejected+before.retries
	return f.plays != never && shown || f.plays != always && failed
}

// untold returns the sentences that nobody has read yet.
func (f fault) untold(homes []*home) []string {
	var all []string
	for _, h := range homes {
		all = slices.Concat(all, h.seen.sentences(), h.stills.sentences())
	}
	heard := func(s string) bool { return slices.Contains(all, s) }
	missing := slices.DeleteFunc(slices.Clone(f.told), heard)
	if !slices.ContainsFunc(f.either, heard) {
		missing = append(missing, f.either...)
	}
	return missing
}

// moveIn returns two households, each paired and watching.
func moveIn(t *testing.T, c *evilcloud.Cloud, relayed bool) []*home {
	t.Helper()
	urls := c.URLs()
	var homes []*home
	for i, name := range []string{"ours", "theirs"} {
		h := &home{
			name:      name,
			household: runCamera(t, urls[i%len(urls)], name, i, t.TempDir()),
			ended:     make(chan error, 1),
		}

		h.viewer, h.seen, h.stills = pair(t, h.household), &seen{mark: h.Mark}, &seen{mark: h.Mark}
		homes = append(homes, h)
		run(t, func(ctx context.Context) error {
			h.ended <- h.viewer.Watch(ctx, name, h.seen.watch(relayed))
			return nil
		})
	}

	return homes
}

// interrupt begins the fault. Unless the sessions are meant to continue, it stops the cameras and starts them again
// under the fault, with a relay that has meanwhile forgotten what it was asked for, so that all sessions start anew. It
// returns how often the fault had acted before that.
func (f fault) interrupt(t *testing.T, c *evilcloud.Cloud, homes []*home) (acted int64) {
	t.Helper()
	f.begin(t, c)
	if f.goes {
		return f.acted(c.Counts())
	}
	for _, h := range homes {
		n := h.seen.counted().retries
		h.stop()
		eventually(t, h.name+" hears that its camera has gone", func() bool { return h.seen.counted().retries > n })
	}

	if err := c.Restart(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	acted = f.acted(c.Counts())
	for _, h := range homes {
		h.seen.forget()
		h.household = h.again()
	}
	return acted
}

// stillEvery is the interval at which people look at their list of cameras.
const stillEvery = 500 * time.Millisecond

// askForStills asks for a picture again and again until stop is called.
func askForStills(t *testing.T, homes []*home) (stop func()) {
	var stops []func()
	for _, h := range homes {
		stops = append(stops, run(t, func(ctx context.Context) error {
			every := time.NewTicker(stillEvery)
			defer every.Stop()
			for {
				if err := h.askForStill(ctx); err != nil && ctx.Err() == nil {
					h.stills.say(strings.TrimPrefix(err.Error(), "ask \""+h.name+"\" for a picture: "))
				}
				select {
				case <-ctx.Done():
					return nil
				case <-every.C:
				}
			}
		}))
	}

	return func() {
		for _, stop := range stops {
			stop()
		}
	}
}

func (h *home) askForStill(ctx context.Context) error {
	frame, err := h.viewer.Still(ctx, h.name, h.stills.reject)
	if err == nil {
		h.stills.picture(frame)
	}
	return err
}

// comeBack waits until everybody has their right picture and a right still again, and returns how long the picture
// took.
func comeBack(t *testing.T, homes []*home, healed time.Time) (back time.Duration) {
	t.Helper()
	for _, h := range homes {
		eventually(t, h.name+" has its picture again", func() bool { return h.seen.lastRight().After(healed) })
		back = max(back, h.seen.lastRight().Sub(healed))
		n := h.seen.counted().frames
		eventually(t, h.name+"'s picture moves", func() bool { return h.seen.counted().frames >= n+10 })
		n = h.stills.counted().stills
		eventually(t, h.name+" gets a still again", func() bool {
			return h.askForStill(t.Context()) == nil && h.stills.counted().stills > n
		})
	}

	return back
}

// honest are sentences that may appear under any fault: the camera was stopped and the relay restarted, and on a busy
// machine a picture stalls without a fault, and people read that it is busy.
var honest = []string{saysBusyCamera, saysBusyViewer, saysStalled, saysLost, saysEnded, saysNoAnswer,
	saysUnreached + "connection lost", saysUnreached + "no answer", saysUnreached + "connection refused",
	saysUnreached + "it is shutting down", saysRelayLost}

var (
	addresses = regexp.MustCompile(`127\.0\.0\.1:\d+`)
	rates     = regexp.MustCompile(`\d+ kbit/s`)
)

// judge checks what everybody saw and read.
func (f fault) judge(t *testing.T, homes []*home, p *tape, back time.Duration) faultRow {
	row := faultRow{fault: f.name, back: back}
	may := slices.Concat(f.told, f.may, honest)
	for _, h := range homes {
		stream, stills := h.seen.counted(), h.stills.counted()
		row.foreign += stream.foreign + stills.foreign
		row.rejected += stream.rejected + stills.rejected + int(h.Rejected())
		for _, sentence := range append(h.seen.sentences(), h.stills.sentences()...) {
			sentence = rates.ReplaceAllString(addresses.ReplaceAllString(sentence, "HOST"), "N kbit/s")
			if !slices.Contains(may, sentence) {
				t.Errorf("%s read %q, which does not belong to this fault", h.name, sentence)
			}
			if !slices.Contains(row.told, sentence) {
				row.told = append(row.told, sentence)
			}
		}

		select {
		case err := <-h.ended:
			t.Errorf("%s's watching has ended: %v", h.name, err)
		default:
		}
	}

	if row.foreign != 0 {
		t.Errorf("%d frames of strangers were shown", row.foreign)
	}

	// Whatever reached a stranger's device has passed the cloud.
	if found := p.find(append([]string{homes[0].Mark, homes[1].Mark, "household of"}, sdpWords...)); len(found) > 0 {
		t.Errorf("in the clear: %q", found)
	}
	t.Logf("%+v", row)
	return row
}
