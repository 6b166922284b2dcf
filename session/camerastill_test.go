package session

import (
	"testing"
	"time"

	"github.com/peephole-cam/peephole/media"
	"github.com/peephole-cam/peephole/session/handshake"
	"github.com/peephole-cam/peephole/signaling"
	"github.com/peephole-cam/peephole/test/sessiontest"
)

// The keyframe that follows an answer is always young enough to be called live.
func TestFirstPictureIsYoungEnoughToBeLive(t *testing.T) {
	type moment struct {
		name    string
		old     time.Duration // the keyframe's age; the stream goes on
		happens func(*sessiontest.Machine)
		want    bool
	}

	moments := []moment{
		{name: "a new one", want: true},
		{name: "as old as may be", old: handshake.LiveFor, want: true},
		{name: "older", old: handshake.LiveFor + 1},
	}

	for _, i := range sessiontest.Interruptions {
		moments = append(moments, moment{name: i.Name, happens: i.Happen})
	}
	for _, tt := range moments {
		t.Run(tt.name, func(t *testing.T) {
			machine := &sessiontest.Machine{}
			s := showing([]byte("a picture"), machine.Clock().Now())
			machine.Run(tt.old / 2)
			s.Send(media.AccessUnit{Data: []byte("the next"), Captured: machine.Clock().Now()})
			machine.Run(tt.old - tt.old/2)
			if tt.happens != nil {
				tt.happens(machine)
			}

			o := newOutbox(nil, signaling.Mailbox{}, quiet())
			c := &Camera{
				cfg:    CameraConfig{Stream: s},
				offer:  &handshake.Offer{Challenge: sessiontest.Random(8)},
				outbox: o,
			}

			secret, _ := agreed(t)
			if err := c.postFirst(secret); err != nil {
				t.Fatal(err)
			}

			if got := len(o.queue) > 0; got != tt.want {
				t.Errorf("posted %t, want %t", got, tt.want)
			}
		})
	}
}
