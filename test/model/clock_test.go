package model

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"pgregory.net/rapid"

	"github.com/peephole-cam/peephole/crypto/expiry"
)

const (
	oneDay = 24 * time.Hour
	// epoch is the difference between the bubble's clock, which begins in 2000, and the true time of a world: devices
	// are not older than Peephole.
	epoch = 28 * 365 * oneDay
	// forAgreement is how far two clocks may be apart and agree.
	forAgreement = 3 * time.Minute
)

// firstDevice is earlier than the making of any device.
var firstDevice = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// trueTime returns the time that no device knows.
func trueTime() time.Time { return time.Now().Add(epoch).Round(0) }

// kept is what, according to the oracle, a device has stored about its clock: what it showed, and the earliest time it
// can have been then, as far as the machine has counted since somebody confirmed it.
type kept struct {
	shown, least time.Time
	boot         int
	began        time.Time // when that boot began, at the earliest
	// the most by which another device was ahead of the true time when it confirmed this clock
	misled time.Duration
}

// line is what lies on the disk (doc/protocol.md, section 4.1).
func (k kept) line() string {
	if k.shown.IsZero() {
		return ""
	}
	at := func(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }
	return fmt.Sprintf("peephole-clock-1 %s %d %s %s\n", at(k.shown), k.boot, at(k.began), at(k.least))
}

// floor returns the earliest time that the device can believe it is.
func (k kept) floor() time.Time {
	if f := k.shown.Add(-oneDay); f.After(firstDevice) {
		return f
	}
	return firstDevice
}

func (k kept) now(shown time.Time) time.Time {
	if f := k.floor(); f.After(shown) {
		return f
	}
	return shown
}

// start returns when a boot began, at the earliest.
func (k kept) start(boot int) time.Time {
	if boot == k.boot {
		return k.began
	}
	return k.least
}

// takes returns what is stored once the clock shows this and is believed.
func (k kept) takes(shown, least time.Time, boot int, began time.Time) kept {
	if shown.Before(k.shown.Add(oneDay)) || shown.Before(firstDevice) {
		return k
	}
	return kept{
		shown:  shown,
		least:  least,
		boot:   boot,
		began:  began,
		misled: k.misled,
	}
}

// shown returns the time that a device's clock shows.
func (d *device) shown() time.Time { return trueTime().Add(d.clock) }

func (d *device) up() time.Duration { return time.Since(d.booted) }

// source returns the machine under a device's process.
func (d *device) source() expiry.Source {
	return expiry.Source{Wall: d.shown, Boot: func() expiry.Boot {
		return expiry.Boot{ID: fmt.Sprint(d.boot), Up: d.up()}
	}}
}

// now returns the time that a device believes it is.
func (d *device) now(t *rapid.T) time.Time {
	got, want := d.expiry.Now(), d.kept.now(d.shown())
	if !got.Equal(want) || d.expiry.Wrong() != d.shown().Before(d.kept.floor()) {
		t.Fatalf("device %d takes it to be %s (its clock shows %s, wrong %t), the oracle says %s", d.number, got,
			d.shown(), d.expiry.Wrong(), want)
	}
	return got
}

// keep lets a device look at its clock, as its process does now and then.
func (d *device) keep(t *rapid.T) {
	if err := d.expiry.Keep(); err != nil {
		t.Fatal(err)
	}
	began := d.kept.start(d.boot)
	if least := began.Add(d.up()); !d.shown().After(least.Add(oneDay)) {
		d.kept = d.kept.takes(d.shown().Truncate(time.Millisecond), least, d.boot, began)
	}
	d.sound(t)
}

// confirm lets a device hear the time from another.
func (d *device) confirm(t *rapid.T, said time.Time) {
	if err := d.expiry.Confirm(said); err != nil {
		t.Fatal(err)
	}
	shown := d.shown()
	if shown.Sub(said).Abs() <= forAgreement && !shown.Before(d.kept.floor()) {
		d.kept.misled = max(d.kept.misled, said.Sub(trueTime()))
		d.kept = d.kept.takes(shown, shown, d.boot, shown.Add(-d.up()))
	}
	d.sound(t)
}

// sound fails if a floor is ahead of the true time by more than the device was that confirmed the clock: whatever a
// clock shows by itself, and however often, it does not move the floor there.
func (d *device) sound(t *rapid.T) {
	d.now(t)
	text, err := os.ReadFile(filepath.Join(d.dir, "clock"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	if string(text) != d.kept.line() {
		t.Fatalf("device %d keeps %q, the oracle says %q", d.number, text, d.kept.line())
	}
	if floor := d.kept.floor(); floor.After(trueTime().Add(d.kept.misled + forAgreement)) {
		t.Fatalf("device %d has the floor %s at the true time %s, and was misled by %s", d.number, floor, trueTime(),
			d.kept.misled)
	}
}

// reboot switches a device off for a while. Its clock may have lost the time.
func (w *world) reboot(t *rapid.T) {
	d := w.drawDevice(t)
	time.Sleep(one(t, "off for", time.Second, time.Minute, time.Hour, 23*time.Hour, 30*oneDay))
	d.clock = drawClock(t)
	d.boot++
	d.booted = time.Now()
	w.start(t, d)
	if d.expiry.Wrong() {
		w.happened["began with a wrong clock"]++
	}
}

// drawClock draws by how much a clock is ahead: right, a little wrong, in another zone, set ahead by years, or never
// set.
func drawClock(t *rapid.T) time.Duration {
	return one(t, "clock", 0, 0, 0, -2*time.Minute, 3*time.Minute, -time.Hour, 14*time.Hour, 26*time.Hour,
		20*365*oneDay, -30*365*oneDay, -60*365*oneDay)
}
