package session

import (
	"bytes"
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/signaling"
)

// The sentence is the protocol's, as the page's is (web alarm.test.ts).
func TestRejectionText(t *testing.T) {
	protocol, err := os.ReadFile("../doc/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(protocol), "| envelope, record, frame or packet that does not open | "+Rejection{}.Text()+" |") {
		t.Errorf("doc/protocol.md does not say %q", Rejection{}.Text())
	}
}

// An honest relay delivers at least once, forgets what waited when it restarts, and carries a second answer of a camera that restarted:
// the session goes on, nobody is alarmed, and no rejection is told to the relay.
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
				o, err := parseOffer(camera.Offer.Body)
				if err != nil {
					panic(err)
				}
				second, _, err := reply(*camera, o, answer{SDP: "v=0", Carrier: "h264"})
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
				toViewer := mb.Name() == mailbox(camera.Pair.SessionMailbox(envelope.ToViewer, camera.Offer.Session)).Name()
				posted[toViewer]++
				return twist(toViewer, body)
			}
			alarm := func(r Rejection) { t.Errorf("rejected %s: %v", r.What, r.Err) }
			h.viewer.OnReject, h.onReject = alarm, alarm
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			frames := 0
			h.viewer.OnFrame = func(Frame) {
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
				t.Errorf("%d rejections were told to the relay", n)
			}
			if posted[true] < 2 || posted[false] < 1 {
				t.Errorf("%v messages were posted: the test shows nothing", posted)
			}
		})
	}
}

// ear counts what a person and the relay are told.
type ear struct{ person, relay []string }

func (e *ear) reject(r Rejection) { e.person = append(e.person, r.What) }

func (e *ear) delivery(body []byte) signaling.Delivery {
	return signaling.NewDelivery(body, func() { e.relay = append(e.relay, "told") })
}

// What does not open is told to the person and, unless it is late or the other end's own fault, to the relay.
func TestRejectionsAreToldToTheRelay(t *testing.T) {
	ours, theirs := pairOf(t)
	strangers, _ := pairOf(t)
	h, err := newHandshake(theirs)
	if err != nil {
		t.Fatal(err)
	}
	seal := func(by *envelope.Pair, typ envelope.Type, sent time.Time) []byte {
		sealed, err := by.Seal(by.SessionMailbox(envelope.ToViewer, h.id), envelope.Message{Session: h.id, Type: typ, Sent: sent, Expiry: sent.Add(time.Minute), Body: []byte("{}")})
		if err != nil {
			t.Fatal(err)
		}
		return sealed.Wire
	}
	now := time.Now()
	record := func(s *secret) []byte {
		return sealed(t, s.recordKeys(envelope.ToViewer).signaling.out, message{Type: "candidate"})
	}
	agreed := testSecret(t)
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
		{"a record before the answer", record(agreed), false, nil, 0},
		{"a stranger's record", record(testSecret(t)), true, []string{"record"}, 1},
		{"a record", record(agreed), true, nil, 0},
		{"a record that is no message", sealedText(t, agreed, "[]"), true, []string{"record"}, 0},
		{"a stranger's answer behind ours", seal(strangers, envelope.TypeAnswer, now), true, []string{"record"}, 1},
	} {
		e := &ear{}
		v := &Viewer{cfg: ViewerConfig{Pair: theirs, OnReject: e.reject, Logger: quiet()}, handshake: h, arrivals: arrivals{follows: mayBeRecord}, peer: &peer{candidates: maxCandidates}, explainer: &explainer{asking: true}}
		if tt.answered {
			v.records = agreed.recordKeys(envelope.ToCamera)
		}
		if err := v.deliver(e.delivery(tt.body)); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		if !slices.Equal(e.person, tt.person) || len(e.relay) != tt.relay {
			t.Errorf("%s: the person is told of %q, the relay of %d; want %q, %d", tt.name, e.person, len(e.relay), tt.person, tt.relay)
		}
	}
}

// sealedText is a record with this plaintext.
func sealedText(t *testing.T, s *secret, text string) []byte {
	t.Helper()
	key := s.recordKey(signalingChannel, envelope.ToViewer)
	header := append([]byte{recordVersion}, make([]byte, 8)...)
	return key.aead.Seal(header, key.nonce(0), []byte(text), header)
}

// The camera's end does the same; a copy is no alarm.
func TestCameraRejects(t *testing.T) {
	agreed := testSecret(t)
	out := agreed.recordKeys(envelope.ToCamera).signaling.out
	first, second := sealed(t, out, message{Type: "candidate"}), sealed(t, out, message{Type: "candidate"})
	strange := sealed(t, testSecret(t).recordKeys(envelope.ToCamera).signaling.out, message{Type: "candidate"})
	e := &ear{}
	c := &Camera{cfg: CameraConfig{OnReject: e.reject, Logger: quiet()}, records: agreed.recordKeys(envelope.ToViewer), peer: &peer{candidates: maxCandidates}, explainer: &explainer{asking: true}}
	for _, tt := range []struct {
		name string
		body []byte
		want int
	}{
		{"the first", first, 0}, {"a copy", bytes.Clone(first), 0}, {"the next", second, 0}, {"a copy of an earlier one", first, 0},
		{"a stranger's", strange, 1}, {"tampered", flipped(second), 2}, {"empty", nil, 3},
	} {
		if err := c.deliver(e.delivery(tt.body)); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		if len(e.person) != tt.want || len(e.relay) != tt.want {
			t.Errorf("%s: %d and %d are told, want %d", tt.name, len(e.person), len(e.relay), tt.want)
		}
	}
	if err := c.dataArrived(t.Context(), strange); err != nil || len(e.person) != 4 {
		t.Errorf("a stranger's record on the data channel: %v, %q", err, e.person)
	}
}

// What a still brings is judged as a session's: chunks before the answer wait for it, and a second answer is no alarm.
func TestStillRaisesNoAlarm(t *testing.T) {
	for _, tt := range []struct {
		name  string
		order []int // of offer 0, answer 1, chunks 2 to 4
	}{
		{"in order", []int{1, 2, 3, 4}}, {"chunks first", []int{2, 3, 4, 1}}, {"all twice, chunks first", []int{2, 2, 3, 3, 1, 1, 2, 4, 4}},
	} {
		picture := fresh(70_000)
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
		cfg := gallery(t, honest, showing(picture, time.Now()))
		cfg.OnReject = func(r Rejection) { t.Errorf("%s: rejected %s: %v", tt.name, r.What, r.Err) }
		f, err := Still(t.Context(), cfg)
		if err != nil || !bytes.Equal(f.AccessUnit, picture) || honest.rejected.Load() != 0 {
			t.Errorf("%s: %d bytes, %v, %d told to the relay", tt.name, len(f.AccessUnit), err, honest.rejected.Load())
		}
	}
}

func TestHeldMessagesAreBounded(t *testing.T) {
	a := arrivals{follows: mayBeRecord}
	d := signaling.Delivery{Body: append([]byte{recordVersion}, fresh(99)...)}
	for range maxEarly {
		if !a.hold(d) {
			t.Fatal("not held")
		}
	}
	if a.hold(d) || len(a.release()) != maxEarly || len(a.release()) != 0 {
		t.Error("more is held than is bounded, or it is given twice")
	}
	for range 2 * maxSeen {
		a.opened(signaling.Delivery{Body: fresh(8)})
	}
	if len(a.seen) > maxSeen {
		t.Errorf("%d hashes are kept", len(a.seen))
	}
}

func TestPacketsAlarm(t *testing.T) {
	p := new(packets)
	log := loggers{quiet(), p}
	srtp, other := log.NewLogger("srtp"), log.NewLogger("ice")
	for range packetsAlarm - 1 {
		srtp.Info(unverified)
		other.Info(unverified)
		srtp.Info("srtp ssrc=1 index=2: duplicated packet")
	}
	if err := p.since(); err != nil {
		t.Errorf("too few for an alarm, or none at all: %v", err)
	}
	for range packetsAlarm {
		srtp.Info(unverified + ": cipher: message authentication failed")
	}
	if err := p.since(); !errors.Is(err, ErrPacket) || err.Error() != "3 packets that the other end did not send" {
		t.Errorf("got %v", err)
	}
	if err := p.since(); err != nil {
		t.Errorf("told twice: %v", err)
	}
}
