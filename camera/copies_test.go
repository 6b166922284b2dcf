package camera

import (
	"bytes"
	"encoding/binary"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/peephole-cam/peephole/signaling"
	"github.com/peephole-cam/peephole/test/bubble"
)

// An envelope that several carriers deliver at once starts one session. Its copies raise no alarm, and use up nothing
// of what the viewer may send.
func TestCopiesOfAnOfferStartNothing(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		w := newWatched(t)
		offer := offerOf(t, w.pair, time.Now())
		var told sync.Map
		var carriers sync.WaitGroup
		for carrier := range 4 {
			carriers.Go(func() {
				for range offersAtOnce {
					w.deliver(w.ctx(), w.box, signaling.NewDelivery(bytes.Clone(offer), func() {
						told.Store(carrier, true)
					}))
				}
			})
		}

		carriers.Wait()
		for range offersAtOnce - 1 {
			w.receive(offerOf(t, w.pair, time.Now()))
		}

		time.Sleep(time.Second)
		w.receive(offerOf(t, w.pair, time.Now()))
		w.receive(offer) // offersAtOnce have come since
		synctest.Wait()
		if want := uint64(offersAtOnce + 1); w.viewer.offers != want || w.Rejected() != 0 {
			t.Errorf("%d offers were taken, %d rejected; want %d, none", w.viewer.offers, w.Rejected(), want)
		}
		told.Range(func(carrier, _ any) bool {
			t.Errorf("carrier %v hears that a copy does not belong here", carrier)
			return true
		})

		w.end()
	})
}

// A tampered copy is no copy: it raises an alarm, whenever it comes.
func TestTamperedCopyOfAnOfferAlarms(t *testing.T) {
	w := newWatched(t)
	offer := offerOf(t, w.pair, time.Now())
	tampered := bytes.Clone(offer)
	tampered[len(tampered)-1] ^= 1

	w.receive(offer)
	w.receive(tampered)
	w.receive(offer)
	if w.viewer.offers != 1 || w.Rejected() != 1 || w.told != 1 {
		t.Errorf("%d offers, %d rejected, %d told to the relay; want one each", w.viewer.offers, w.Rejected(), w.told)
	}
}

// As many envelopes are remembered as may come at once.
func TestCopiesAreRememberedInABoundedNumber(t *testing.T) {
	var c copies
	has := func(wire []byte) bool { return c.route(wire) != nil }
	wire := func(n int) []byte { return binary.BigEndian.AppendUint32(nil, uint32(n)) }
	for n := range 3*offersAtOnce + 5 {
		if has(wire(n)) {
			t.Fatalf("%d is taken for a copy", n)
		}
		c.add(wire(n), &signaling.Route{})
		if oldest := max(0, n-offersAtOnce+1); !has(wire(n)) || !has(wire(oldest)) || has(wire(oldest-1)) {
			t.Fatalf("after %d: the last is remembered: %t, the oldest: %t, one before: %t", n, has(wire(n)),
				has(wire(oldest)), has(wire(oldest-1)))
		}
	}
}
