package session

import (
	"errors"
	"strings"
	"testing"

	"github.com/peephole-cam/peephole/crypto/envelope"
)

// ends is the sender and the receiver of one direction of one channel.
func ends(s *secret, c channel, d envelope.Direction) (*recordSender, *recordReceiver) {
	return &recordSender{key: s.recordKey(c, d)}, &recordReceiver{key: s.recordKey(c, d)}
}

func sealed(t testing.TB, s *recordSender, m message) []byte {
	t.Helper()
	wire, err := s.seal(m)
	if err != nil {
		t.Fatal(err)
	}
	return wire
}

func TestRecordsOpenInOrderAndOverGaps(t *testing.T) {
	send, open := ends(testSecret(t), dataChannel, envelope.ToCamera)
	want := message{Type: "challenge", Challenge: blob("12345678")}
	for range 3 {
		got, err := open.open(sealed(t, send, want))
		if err != nil || got.Type != want.Type || string(got.Challenge) != string(want.Challenge) {
			t.Fatalf("open: %+v, %v; want %+v", got, err, want)
		}
		sealed(t, send, want) // one that does not arrive
	}
}

func TestRecordRefused(t *testing.T) {
	s := testSecret(t)
	for _, tt := range []struct {
		name string
		wire func(send *recordSender, open *recordReceiver) []byte
	}{
		{"replayed", func(send *recordSender, open *recordReceiver) []byte {
			wire := sealed(t, send, message{Type: "keyframe"})
			if _, err := open.open(wire); err != nil {
				t.Fatal(err)
			}
			return wire
		}},
		{"put after a later one", func(send *recordSender, open *recordReceiver) []byte {
			early, late := sealed(t, send, message{Type: "bye"}), sealed(t, send, message{Type: "keyframe"})
			if _, err := open.open(late); err != nil {
				t.Fatal(err)
			}
			return early
		}},
		{"of the other direction", func(*recordSender, *recordReceiver) []byte {
			other, _ := ends(s, dataChannel, envelope.ToViewer)
			return sealed(t, other, message{Type: "bye"})
		}},
		{"of the other channel", func(*recordSender, *recordReceiver) []byte {
			other, _ := ends(s, signalingChannel, envelope.ToCamera)
			return sealed(t, other, message{Type: "bye"})
		}},
		{"of another session", func(*recordSender, *recordReceiver) []byte {
			other, _ := ends(testSecret(t), dataChannel, envelope.ToCamera)
			return sealed(t, other, message{Type: "bye"})
		}},
		{"of another version", func(send *recordSender, _ *recordReceiver) []byte {
			wire := sealed(t, send, message{Type: "bye"})
			wire[0]++
			return wire
		}},
		{"sealed as of another version", func(send *recordSender, _ *recordReceiver) []byte {
			header := []byte{recordVersion + 1, 0, 0, 0, 0, 0, 0, 0, 0}
			return send.key.aead.Seal(header, send.key.nonce(0), []byte(`{"type":"bye"}`), header)
		}},
		{"with another counter", func(send *recordSender, _ *recordReceiver) []byte {
			wire := sealed(t, send, message{Type: "bye"})
			wire[8]++
			return wire
		}},
		{"with the last counter there is", func(send *recordSender, _ *recordReceiver) []byte {
			send.next = ^uint64(0)
			return sealed(t, send, message{Type: "bye"})
		}},
		{"too long", func(send *recordSender, _ *recordReceiver) []byte {
			return sealed(t, send, message{Type: "bye", Reason: strings.Repeat("x", recordMax)})
		}},
		{"cut short", func(send *recordSender, _ *recordReceiver) []byte {
			return sealed(t, send, message{})[:recordHeader+15]
		}},
		{"empty", func(*recordSender, *recordReceiver) []byte { return nil }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			send, open := ends(s, dataChannel, envelope.ToCamera)
			wire := tt.wire(send, open)
			before := open.next
			if m, err := open.open(wire); !errors.Is(err, ErrRecord) || m.Type != "" {
				t.Errorf("open: %+v, %v; want %v", m, err, ErrRecord)
			}
			if open.next != before {
				t.Error("what did not open moved the counter")
			}
		})
	}
}

func TestEveryBitOfARecordCounts(t *testing.T) {
	send, open := ends(testSecret(t), dataChannel, envelope.ToViewer)
	wire := sealed(t, send, message{Type: "status", Text: "no video yet"})
	for bit := range 8 * len(wire) {
		wire[bit/8] ^= 1 << (bit % 8)
		if _, err := open.open(wire); err == nil {
			t.Fatalf("opens with bit %d flipped", bit)
		}
		wire[bit/8] ^= 1 << (bit % 8)
	}
	if _, err := open.open(wire); err != nil {
		t.Errorf("open as it was: %v", err)
	}
}

func TestRecordThatOpensAndIsNoMessage(t *testing.T) {
	_, open := ends(testSecret(t), dataChannel, envelope.ToViewer)
	header := []byte{recordVersion, 0, 0, 0, 0, 0, 0, 0, 0}
	wire := open.key.aead.Seal(header, open.key.nonce(0), []byte(`["type"]`), header)
	if _, err := open.open(wire); !errors.Is(err, ErrMalformed) {
		t.Errorf("open: %v, want %v", err, ErrMalformed)
	}
}
