package session

import (
	"bytes"
	"context"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/clock"
	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/session/handshake"
	"github.com/peephole-cam/peephole/session/path"
	"github.com/peephole-cam/peephole/signaling"
	"github.com/peephole-cam/peephole/test/sessiontest"
)

// The sentence is the one in the protocol, and the page shows it too (web alarm.test.ts).
func TestRejectionTextIsTheProtocols(t *testing.T) {
	protocol, err := os.ReadFile("../doc/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(protocol),
		"| envelope, record, frame or packet that does not open | "+Rejection{}.Text()+" |") {
		t.Errorf("doc/protocol.md does not say %q", Rejection{}.Text())
	}
}

// An honest relay may deliver twice, forgets waiting messages when it restarts, and carries the second answer of a
// camera that restarted. The session goes on, no alarm is raised, and no rejection is reported to the relay.
func TestHonestRelayRaisesNoAlarm(t *testing.T) {
	for _, tt := range []struct {
		name  string
		twist func(h *house, camera *CameraConfig) func(toViewer bool, body []byte) [][]byte
	}{
		{"everything twice", func(*house, *CameraConfig) func(bool, []byte) [][]byte {
			return func(_ bool, b []byte) [][]byte { return [][]byte{b, b} }
		}},
		{"everything again with each", func(*house, *CameraConfig) func(bool, []byte) [][]byte {
			all := make(map[bool][][]byte)
			return func(toViewer bool, b []byte) [][]byte {
				all[toViewer] = append(all[toViewer], b)
				return append([][]byte{b}, all[toViewer]...)
			}
		}},
		{"the answer behind what follows it", func(*house, *CameraConfig) func(bool, []byte) [][]byte {
			var answer []byte
			return func(toViewer bool, b []byte) [][]byte {
				switch {
				case toViewer && answer == nil:
					answer = b
					return nil
				case toViewer && len(answer) > 0:
					both := [][]byte{b, answer}
					answer = []byte{}
					return both
				}
				return [][]byte{b}
			}
		}},
		{"a second answer", func(_ *house, camera *CameraConfig) func(bool, []byte) [][]byte {
			answered := false
			return func(toViewer bool, b []byte) [][]byte {
				if !toViewer || answered {
					return [][]byte{b}
				}
				answered = true
				o, err := handshake.ParseOffer(camera.Offer.Body)
				if err != nil {
					panic(err)
				}

				second, _, err := camera.received().Answer(o, handshake.Answer{SDP: "v=0", Carrier: "h264"})
				if err != nil {
					panic(err)
				}
				return [][]byte{b, second}
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var camera CameraConfig
			h := newHouse(t, &camera, quiet())
			twist := tt.twist(h, &camera)
			var mu sync.Mutex
			posted := make(map[bool]int)
			h.post.twist = func(mb signaling.Mailbox, body []byte) [][]byte {
				mu.Lock()
				defer mu.Unlock()
				if mb.Name() == h.inbox {
					return [][]byte{body}
				}
				toViewer := mb.Name() == mailbox(camera.Pair.SessionMailbox(envelope.ToViewer,
					camera.Offer.Session)).Name()
				posted[toViewer]++
				return twist(toViewer, body)
			}

			alarm := func(r Rejection) { t.Errorf("rejected %s: %v", r.What, r.Err) }
			h.viewer.OnReject, h.onReject = alarm, alarm
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			frames := 0
			h.viewer.OnFrame = func(handshake.Frame) {
				if frames++; frames == 10 {
					cancel()
				}
			}

			v, err := NewViewer(h.viewer)
			if err != nil {
				t.Fatal(err)
			}
			if err := v.Run(ctx); err != nil || frames < 10 {
				t.Errorf("%d frames, %v", frames, err)
			}

			if err := <-h.camera; err != nil {
				t.Errorf("camera's end: %v", err)
			}

			mu.Lock()
			defer mu.Unlock()
			if n := h.post.rejected.Load(); n != 0 {
				t.Errorf("%d rejections were reported to the relay", n)
			}
			if posted[true] < 2 || posted[false] < 1 {
				t.Errorf("only %v messages were posted, so the test proves nothing", posted)
			}
		})
	}
}

// ear collects what is reported to the person and to the relay.
type ear struct{ person, relay []string }

func (e *ear) reject(r Rejection) { e.person = append(e.person, r.What) }

func (e *ear) delivery(body []byte) signaling.Delivery {
	return signaling.NewDelivery(body, func() { e.relay = append(e.relay, "told") })
}

// What does not open is reported to the person and, unless it is late or the other end's own fault, to the relay.
func TestRejectionsAreReportedToTheRelay(t *testing.T) {
	ours, theirs := sessiontest.Pair(t)
	strangers, _ := sessiontest.Pair(t)
	h, received := offered(t, ours, theirs, handshake.Offer{Still: true})
	session := received.Opened.Session
	seal := func(by *envelope.Pair, typ envelope.Type, sent time.Time) []byte {
		sealed, err := by.Seal(by.SessionMailbox(envelope.ToViewer, session), envelope.Message{
			Session: session,
			Type:    typ,
			Sent:    sent,
			Expiry:  sent.Add(time.Minute),
			Body:    []byte("{}"),
		})
		if err != nil {
			t.Fatal(err)
		}
		return sealed.Wire
	}

	now := time.Now()
	record := func(camera *handshake.RecordKeys) []byte {
		return sealedRecord(t, camera.Signaling, handshake.Message{Type: "candidate", Candidate: "none"})
	}
	camera, viewer := agreedKeys(t)
	stranger, _ := agreedKeys(t)
	newer := seal(ours, envelope.TypeAnswer, now)
	newer[0] = 9

	for _, tt := range []struct {
		name     string
		body     []byte
		answered bool
		person   []string
		relay    int
	}{
		{"a stranger's answer", seal(strangers, envelope.TypeAnswer, now), false, []string{"envelope"}, 1},
		{"an answer of another version", newer, false, []string{"envelope"}, 1},
		{"a late answer", seal(ours, envelope.TypeAnswer, now.Add(-time.Hour)), false, []string{"envelope"}, 0},
		{"nothing known", []byte("of no one"), false, []string{"envelope"}, 1},
		{"a record before the answer", record(camera), false, nil, 0},
		{"a stranger's record", record(stranger), true, []string{"record"}, 1},
		{"a record", record(camera), true, nil, 0},
		{"a stranger's answer behind ours", seal(strangers, envelope.TypeAnswer, now), true, []string{"record"}, 1},
	} {
		e := &ear{}
		v := &Viewer{
			cfg:       ViewerConfig{Pair: theirs, OnReject: e.reject, Logger: quiet()},
			offerer:   h,
			inbox:     handshake.NewInbox(nil),
			peer:      new(peer),
			explainer: new(path.Explainer),
		}

		if tt.answered {
			v.records = viewer
		}
		if err := v.deliver(t.Context(), e.delivery(tt.body)); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}

		if !slices.Equal(e.person, tt.person) || len(e.relay) != tt.relay {
			t.Errorf("%s: reported %q to the person and %d to the relay; want %q, %d", tt.name, e.person, len(e.relay),
				tt.person, tt.relay)
		}
	}
}

// The camera's end does the same as the viewer's. A copy is no reason for alarm.
func TestCameraReportsForeignRecords(t *testing.T) {
	camera, viewer := agreedKeys(t)
	_, stranger := agreedKeys(t)
	candidate := handshake.Message{Type: "candidate", Candidate: "none"}
	first := sealedRecord(t, viewer.Signaling, candidate)
	second := sealedRecord(t, viewer.Signaling, candidate)
	strange := sealedRecord(t, stranger.Signaling, candidate)
	tampered := bytes.Clone(second)
	tampered[len(tampered)-1] ^= 1
	e := &ear{}
	c := &Camera{
		cfg:       CameraConfig{OnReject: e.reject, Logger: quiet()},
		records:   camera,
		peer:      new(peer),
		explainer: new(path.Explainer),
	}

	for _, tt := range []struct {
		name string
		body []byte
		want int
	}{
		{"the first", first, 0}, {"a copy", bytes.Clone(first), 0}, {"the next", second, 0},
		{"a copy of an earlier one", first, 0},
		{"a stranger's", strange, 1}, {"tampered", tampered, 2}, {"empty", nil, 3},
	} {
		if err := c.deliver(e.delivery(tt.body)); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		if len(e.person) != tt.want || len(e.relay) != tt.want {
			t.Errorf("%s: reported %d to the person and %d to the relay, want %d", tt.name, len(e.person), len(e.relay),
				tt.want)
		}
	}

	if err := c.dataArrived(t.Context(), strange); err != nil || len(e.person) != 4 {
		t.Errorf("a stranger's record on the data channel: %v, %q", err, e.person)
	}
}

// A still is judged like a session: chunks that arrive early wait for the answer, and a second answer is no reason for
// alarm.
func TestStillRaisesNoAlarm(t *testing.T) {
	for _, tt := range []struct {
		name  string
		order []int // of offer 0, answer 1, chunks 2 to 4
	}{
		{"in order", []int{1, 2, 3, 4}}, {"chunks first", []int{2, 3, 4, 1}},
		{"all twice, chunks first", []int{2, 2, 3, 3, 1, 1, 2, 4, 4}},
	} {
		picture := sessiontest.Random(70_000)
		var all [][]byte
		honest := twisted{post: newPost(t)}
		honest.twist = func(b []byte) [][]byte {
			if all = append(all, b); len(all) == 1 {
				return [][]byte{b}
			} else if len(all) < 5 {
				return nil
			}

			var out [][]byte
			for _, n := range tt.order {
				out = append(out, all[n])
			}
			return out
		}

		cfg := gallery(t, honest, showing(picture, clock.Now()))
		cfg.OnReject = func(r Rejection) { t.Errorf("%s: rejected %s: %v", tt.name, r.What, r.Err) }
		f, err := Still(t.Context(), cfg)
		if err != nil || !bytes.Equal(f.AccessUnit, picture) || honest.rejected.Load() != 0 {
			t.Errorf("%s: %d bytes, %v, %d rejections reported to the relay", tt.name, len(f.AccessUnit), err,
				honest.rejected.Load())
		}
	}
}
