package e2e

import (
	"context"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/internal/evilcloud"
)

// fault is one row of the table: a cloud that fails in one way, under two households that watch.
type fault struct {
	name    string
	relayed bool                                   // they watch through TURN alone
	goes    bool                                   // their sessions go on, rather than begin anew under the fault
	ends    bool                                   // who repairs it ends all connections, as one does who replaces a proxy
	nodes   int                                    // each household at a node of its own; 0: one for both
	record  func(c *evilcloud.Cloud)               // before anything else; may be nil
	begin   func(t *testing.T, c *evilcloud.Cloud) // the fault
	acted   func(n evilcloud.Counts) int64         // how often it has
	plays   playing
	told    []string // what people must be told, exactly
	may     []string // what they may be told besides
}

// playing is whether the right picture is shown while the cloud fails.
type playing int

const (
	never playing = iota
	always
	sometimes // it depends on whose packets come first
)

// home is a household under a fault.
type home struct {
	*household
	name   string
	viewer watcher
	seen   *seen // of the stream
	stills *seen // of those asked for
	ended  chan error
}

// patience is for a machine with much else to do.
const patience = 3 * time.Minute

// atOnce is how many faults act at one time, each in a cloud of its own.
const atOnce = 20

// For every fault that a cloud can have, nobody is shown or sent anything of a stranger's, everybody is told, and the right picture comes back by
// itself when the fault is over. PEEPHOLE_FAULTS_TABLE names a file for the table.
func TestFaults(t *testing.T) {
	t.Parallel()
	faults := slices.Concat(deliveryFaults(), frameFaults(), rewriting(t), grantFaults(), packetFaults(), stateFaults())
	rows := make([]faultRow, len(faults))
	free := make(chan struct{}, atOnce)
	var all sync.WaitGroup
	for i, f := range faults {
		free <- struct{}{}
		all.Go(func() {
			defer func() { <-free }()
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
		within(t, patience, h.name+" has its picture before the fault", func() bool { return !h.seen.lastRight().IsZero() })
	}
	f.interrupt(t, c, homes)
	before := make([]counted, len(homes))
	for i, h := range homes {
		before[i] = h.seen.counted()
	}
	acted := f.acted(c.Counts())
	stopStills := askForStills(t, homes)
	defer func() {
		if t.Failed() {
			for i, h := range homes {
				t.Logf("%s: before %+v, now %+v, told %q, of stills %q; acted %d", h.name, before[i], h.seen.counted(), h.seen.sentences(), h.stills.sentences(), f.acted(c.Counts())-acted)
			}
		}
	}()
	within(t, patience, "the fault acts, and everybody has seen and heard of it what there is", func() bool {
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
			t.Errorf("%s was shown %d frames under a fault under which nothing can be shown", h.name, now.frames-before[i].frames)
		}
	}
	c.Heal()
	if f.ends {
		c.HangUp()
	}
	back := comeBack(t, homes, time.Now())
	return f.judge(t, homes, p, back)
}

// felt says whether a person has seen something of the fault: the picture under it, or that there is none.
func (f fault) felt(before, now counted) bool {
	shown := now.frames >= before.frames+20
	failed := now.rejected+now.retries > before.rejected+before.retries
	return f.plays != never && shown || f.plays != always && failed
}

// untold are the sentences that nobody has been told yet.
func (f fault) untold(homes []*home) []string {
	var all []string
	for _, h := range homes {
		all = slices.Concat(all, h.seen.sentences(), h.stills.sentences())
	}
	return slices.DeleteFunc(slices.Clone(f.told), func(s string) bool { return slices.Contains(all, s) })
}

// moveIn is two households, each paired and watching.
func moveIn(t *testing.T, c *evilcloud.Cloud, relayed bool) []*home {
	t.Helper()
	urls := c.URLs()
	var homes []*home
	for i, name := range []string{"ours", "theirs"} {
		h := &home{name: name, household: runCamera(t, urls[i%len(urls)], name, i, t.TempDir()), ended: make(chan error, 1)}
		h.viewer, h.seen, h.stills = pair(t, h.household), &seen{mark: h.Mark}, &seen{mark: h.Mark}
		homes = append(homes, h)
		run(t, func(ctx context.Context) error {
			h.ended <- h.viewer.Watch(ctx, name, h.seen.watch(relayed))
			return nil
		})
	}
	return homes
}

// interrupt begins the fault. Unless the sessions shall go on, the cameras are stopped and started again under it, with a relay between that has lost what was
// asked of it before, so that all sessions begin anew.
func (f fault) interrupt(t *testing.T, c *evilcloud.Cloud, homes []*home) {
	t.Helper()
	f.begin(t, c)
	if f.goes {
		return
	}
	for _, h := range homes {
		n := h.seen.counted().retries
		h.stop()
		within(t, patience, h.name+" hears that its camera has gone", func() bool { return h.seen.counted().retries > n })
	}
	if err := c.Restart(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	for _, h := range homes {
		h.seen.forget()
		h.household = h.again()
	}
}

// stillEvery is how often a list of cameras is looked at.
const stillEvery = 500 * time.Millisecond

// askForStills asks for a picture again and again, until it is stopped.
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

// comeBack waits until everybody has their right picture again, and a right still, and says how long the picture took.
func comeBack(t *testing.T, homes []*home, healed time.Time) (back time.Duration) {
	t.Helper()
	for _, h := range homes {
		within(t, patience, h.name+" has its picture again", func() bool { return h.seen.lastRight().After(healed) })
		back = max(back, h.seen.lastRight().Sub(healed))
		n := h.seen.counted().frames
		within(t, patience, h.name+"'s picture moves", func() bool { return h.seen.counted().frames >= n+10 })
		n = h.stills.counted().stills
		within(t, patience, h.name+" gets a still again", func() bool { return h.askForStill(t.Context()) == nil && h.stills.counted().stills > n })
	}
	return back
}

// honest is what people are told whatever the fault: the camera was stopped, the relay restarted, and on a slow machine a picture stalls without a fault.
var honest = []string{saysStalled, saysLost, saysEnded, saysNoAnswer, saysUnreached + "connection lost", saysUnreached + "no answer", saysUnreached + "connection refused", saysUnreached + "it is shutting down"}

var (
	addresses = regexp.MustCompile(`127\.0\.0\.1:\d+`)
	rates     = regexp.MustCompile(`\d+ kbit/s`)
)

// judge checks what everybody was shown and told.
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
				t.Errorf("%s was told %q, which is not for this fault", h.name, sentence)
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
