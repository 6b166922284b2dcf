package e2e

import (
	"sync"
	"testing"

	"github.com/peephole-cam/peephole/signaling/bus"
	"github.com/peephole-cam/peephole/test/evilcloud"
)

// overtaker delivers as several carriers together do: everything twice, and each record behind the one that was posted
// after it.
type overtaker struct {
	mu       sync.Mutex
	held     map[[32]byte]evilcloud.Parcel // guarded by mu; by mailbox, the record that waits for the next one
	overtook int                           // guarded by mu; how many did
}

func (o *overtaker) deliver(_ *evilcloud.Mailboxes, name [32]byte, m bus.Message) []evilcloud.Parcel {
	p := evilcloud.Parcel{Name: name, Message: m}
	if len(m.Body) == 0 || m.Body[0] != 3 {
		return []evilcloud.Parcel{p, p}
	}

	o.mu.Lock()
	defer o.mu.Unlock()
	before, ok := o.held[name]
	if o.held[name] = p; !ok {
		return nil
	}
	o.overtook++
	return []evilcloud.Parcel{p, before, p, before}
}

// Records that overtake each other and come again alarm nobody, and cost nobody the picture: a page or a terminal.
func TestOvertakenRecordsAlarmNobody(t *testing.T) {
	t.Parallel()
	c := startCloud(t, remembering)
	camera := startCamera(t, c, "front door", 2)
	o := &overtaker{held: make(map[[32]byte]evilcloud.Parcel)}
	v := pair(t, camera)
	c.SetDelivery(o.deliver)

	f := follow(t, v, camera, false)
	f.shown(t, 10)
	f.stop()
	if f.total() != 0 {
		t.Errorf("the terminal rejected %d", f.total())
	}

	for _, browser := range []string{"chromium", "firefox"} {
		c.Heal()
		r := drive{Browser: browser, Policy: "plain", Steps: []step{
			{"open": c.URLs()[0]}, {"paste": camera.code(t).URI()}, {"wait": "playing", "cards": 1},
			{"tell": "overtake", "hear": true}, {"open": c.URLs()[0]}, {"wait": "playing", "cards": 1}, {"frames": 10},
		}}.run(t, func(string) { c.SetDelivery(o.deliver) })
		if card := r.Cards[0]; card.State != "playing" || card.Rejected != "" || card.Alarm != "" {
			t.Errorf("%s: %+v", browser, card)
		}
	}

	if n := c.Rejected(); len(n) != 0 || camera.Rejected() != 0 {
		t.Errorf("rejected at the relay: %v, at the camera: %d", n, camera.Rejected())
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.overtook < 3 {
		t.Errorf("%d records were overtaken: the test proves nothing", o.overtook)
	}
}
