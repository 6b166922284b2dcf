package e2e

import (
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/peephole-cam/peephole/media"
	"github.com/peephole-cam/peephole/signaling/bus"
	"github.com/peephole-cam/peephole/test/evilcloud"
)

// dam holds back records until it is opened, so that no media path forms.
type dam struct {
	mu   sync.Mutex
	open bool
	held []evilcloud.Parcel
}

func (d *dam) deliver(_ *evilcloud.Mailboxes, name [32]byte, m bus.Message) []evilcloud.Parcel {
	d.mu.Lock()
	defer d.mu.Unlock()
	p := evilcloud.Parcel{Name: name, Message: m}
	if !d.open && len(m.Body) < 1000 { // every envelope and the first pieces are larger
		d.held = append(d.held, p)
		return nil
	}
	return []evilcloud.Parcel{p}
}

func (d *dam) release(c *evilcloud.Cloud) {
	d.mu.Lock()
	d.open = true
	held := d.held
	d.held = nil
	d.mu.Unlock()
	for _, p := range held {
		c.Deliver(p.Name, p.Message.Body)
	}
}

// The page shows the camera's picture while there is no media path yet, and then the stream in its place.
func TestBrowserShowsFirstPicture(t *testing.T) {
	t.Parallel()
	clips, err := media.Clips()
	if err != nil {
		t.Fatal(err)
	}
	c := startCloud(t, remembering)
	camera, url := startCamera(t, c, "front door", 2), c.URLs()[0]

	for _, tt := range []struct {
		name, element string
		drive         drive
	}{
		{"H.264-shaped", "video", drive{Browser: "chromium", Policy: "plain"}},
		{"VP8-shaped", "canvas", drive{Browser: "chromium", Policy: "plain", HideH264: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var d *dam
			between := func(line string) {
				switch line {
				case "hold":
					d = &dam{}
					c.SetDelivery(d.deliver)
				case "release":
					d.release(c)
				}
			}

			defer c.Heal()
			pair := []step{{"open": url}, {"paste": camera.code(t).URI()}, {"wait": "playing", "cards": 1},
				{"tell": "hold", "hear": true}, {"open": url}, {"wait": "still", "cards": 1, "live": true}}
			tt.drive.Steps = pair
			r := tt.drive.run(t, between)

			// The still is hidden after some seconds, so by now the page may be back at "connecting".
			if card := r.Cards[0]; card.First == "" || card.TTFF != "" || card.Frames != "" || card.Rejected != "" {
				t.Errorf("before the stream: %+v", card)
			} else if card.State == "still" && !near(card.Corner, clips[2].Background) {
				t.Errorf("before the stream: colour %v, want %v", card.Corner, clips[2].Background)
			}

			c.Heal()
			tt.drive.Steps = slices.Concat(pair[:1], []step{{"paste": camera.code(t).URI()}}, pair[2:],
				[]step{{"tell": "release", "hear": true}, {"wait": "playing", "cards": 1}, {"frames": 10}})
			r = tt.drive.run(t, between)
			r.Cards[0].shows(t, "front door", clips[2].Background, tt.element)
			first, err1 := strconv.ParseFloat(r.Cards[0].First, 64)
			stream, err2 := strconv.ParseFloat(r.Cards[0].TTFF, 64)
			if err1 != nil || err2 != nil || first >= stream {
				t.Errorf("first picture after %q ms, stream after %q ms", r.Cards[0].First, r.Cards[0].TTFF)
			}
		})
	}
}

// A first picture that was altered on its way is reported and not shown, and does not hold up the stream.
func TestBrowserRefusesForeignFirstPicture(t *testing.T) {
	t.Parallel()
	c := startCloud(t, remembering)
	camera, url := startCamera(t, c, "front door", 2), c.URLs()[0]
	between := func(string) {
		c.SetDelivery(func(to *evilcloud.Mailboxes, name [32]byte, m bus.Message) []evilcloud.Parcel {
			if len(m.Body) > 0 && m.Body[0] == 2 {
				return evilcloud.FlippedAt(func(body []byte) int { return len(body) - 1 })(to, name, m)
			}
			return []evilcloud.Parcel{{Name: name, Message: m}}
		})
	}

	r := drive{Browser: "chromium", Policy: "plain", Steps: []step{
		{"open": url}, {"paste": camera.code(t).URI()}, {"wait": "playing", "cards": 1},
		{"tell": "alter", "hear": true}, {"open": url}, {"alarm": true}, {"wait": "playing", "cards": 1},
		{"frames": 10}, {"quiet": true},
	}}.run(t, between)

	if card := r.Cards[0]; card.First != "" || card.Rejected == "" || card.State != "playing" || card.Live != "true" {
		t.Errorf("%+v, want the stream alone, and a rejection", card)
	}
	if c.Rejected()[[2]string{eastern, eastern}] == 0 {
		t.Error("nothing was reported to the relay")
	}
}
