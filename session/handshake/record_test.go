package handshake

import (
	"errors"
	"strings"
	"testing"
	"time"

	"golang.org/x/time/rate"

	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/nat"
	"github.com/peephole-cam/peephole/test/bubble"
)

// ends returns the sender and the receiver of one direction of one channel.
func ends(s *Secret, c channel, d envelope.Direction) (*recordSender, *recordReceiver) {
	return &recordSender{key: s.recordKey(c, d)},
		&recordReceiver{key: s.recordKey(c, d), allowance: rate.NewLimiter(rate.Inf, 0)}
}

func sealed(t testing.TB, s *recordSender, m Message) []byte {
	t.Helper()
	wire, err := s.seal(m)
	if err != nil {
		t.Fatal(err)
	}
	return wire
}

func TestRecordsOpenOverGaps(t *testing.T) {
	send, open := ends(testSecret(t), dataChannel, envelope.ToCamera)
	want := Message{Type: "challenge", Challenge: Blob("12345678")}
	for range 3 {
		got, err := open.open(sealed(t, send, want))
		if err != nil || got.Type != want.Type || string(got.Challenge) != string(want.Challenge) {
			t.Fatalf("open: %+v, %v; want %+v", got, err, want)
		}
		sealed(t, send, want) // this one does not arrive
	}
}

func TestRecordOpensOnlyInItsOwnPlace(t *testing.T) {
	s := testSecret(t)
	for _, tt := range []struct {
		name string
		wire func(send *recordSender, open *recordReceiver) []byte
	}{
		{"of the other direction", func(*recordSender, *recordReceiver) []byte {
			other, _ := ends(s, dataChannel, envelope.ToViewer)
			return sealed(t, other, Message{Type: "bye"})
		}},
		{"of the other channel", func(*recordSender, *recordReceiver) []byte {
			other, _ := ends(s, signalingChannel, envelope.ToCamera)
			return sealed(t, other, Message{Type: "bye"})
		}},
		{"of another session", func(*recordSender, *recordReceiver) []byte {
			other, _ := ends(testSecret(t), dataChannel, envelope.ToCamera)
			return sealed(t, other, Message{Type: "bye"})
		}},
		{"of another version", func(send *recordSender, _ *recordReceiver) []byte {
			wire := sealed(t, send, Message{Type: "bye"})
			wire[0]++
			return wire
		}},
		{"sealed as of another version", func(send *recordSender, _ *recordReceiver) []byte {
			header := []byte{recordVersion + 1, 0, 0, 0, 0, 0, 0, 0, 0}
			return send.key.aead.Seal(header, send.key.nonce(0), []byte(`{"type":"bye"}`), header)
		}},
		{"with another counter", func(send *recordSender, _ *recordReceiver) []byte {
			wire := sealed(t, send, Message{Type: "bye"})
			wire[8]++
			return wire
		}},
		{"with the counter of one that has opened", func(send *recordSender, open *recordReceiver) []byte {
			wire := sealed(t, send, Message{Type: "bye"})
			if _, err := open.open(wire); err != nil {
				t.Fatal(err)
			}
			wire[recordHeader] ^= 1
			return wire
		}},
		{"with a counter that is too old", func(send *recordSender, open *recordReceiver) []byte {
			wire := sealed(t, send, Message{Type: "bye"})
			send.next = recordWindowSize
			if _, err := open.open(sealed(t, send, Message{Type: "hello"})); err != nil {
				t.Fatal(err)
			}
			wire[recordHeader] ^= 1
			return wire
		}},
		{"too long", func(send *recordSender, _ *recordReceiver) []byte {
			header := []byte{recordVersion, 0, 0, 0, 0, 0, 0, 0, 0} // by hand: seal refuses it too
			long := []byte(`{"type":"bye","reason":"` + strings.Repeat("x", maxRecord) + `"}`)
			return send.key.aead.Seal(header, send.key.nonce(0), long, header)
		}},
		{"cut short", func(send *recordSender, _ *recordReceiver) []byte {
			return sealed(t, send, Message{})[:recordHeader+15]
		}},
		{"empty", func(*recordSender, *recordReceiver) []byte { return nil }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			send, open := ends(s, dataChannel, envelope.ToCamera)
			wire := tt.wire(send, open)
			before := open.window
			if m, err := open.open(wire); !errors.Is(err, ErrRecord) || m.Type != "" {
				t.Errorf("open: %+v, %v; want %v", m, err, ErrRecord)
			}

			if open.window != before {
				t.Error("what did not open moved the window")
			}
		})
	}
}

func TestEveryBitOfARecordCounts(t *testing.T) {
	send, open := ends(testSecret(t), dataChannel, envelope.ToViewer)
	wire := sealed(t, send, Message{Type: "status", Text: "no video yet"})
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
	if _, err := open.open(wire); !errors.Is(err, ErrMalformed) || IsForeign(err) {
		t.Errorf("open: %v, foreign: %t; want %v, which is the other end's fault", err, IsForeign(err), ErrMalformed)
	}
}

// An end obeys the other end's records at a bounded rate on both channels together. Too many are no reason for alarm,
// and later ones are obeyed again.
func TestRecordsByBothWaysShareOneAllowance(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := testSecret(t)
		theirs, ours := s.RecordKeys(envelope.ToCamera), s.RecordKeys(envelope.ToViewer)
		obeyed := func(n int) (obeyed int) {
			t.Helper()
			for i := range n {
				out, in := theirs.Signaling.out, ours.Signaling.in
				if i%2 == 1 {
					out, in = theirs.Data.out, ours.Data.in
				}
				m, err := in.open(sealed(t, out, Message{Type: "network"}))
				if err != nil && !errors.Is(err, ErrTooFast) || (err == nil) != (m.Type == "network") ||
					errors.Is(err, ErrRecord) {
					t.Fatalf("%+v, %v", m, err)
				}

				if err == nil {
					obeyed++
				}
			}

			return obeyed
		}

		if n := obeyed(10 * recordsAtOnce); n != recordsAtOnce {
			t.Errorf("%d records were obeyed at once, want %d", n, recordsAtOnce)
		}
		time.Sleep(10 * time.Second)
		if n := obeyed(10 * recordsAtOnce); n != 10*recordsPerSecond {
			t.Errorf("%d records were obeyed after ten seconds, want %d", n, 10*recordsPerSecond)
		}
	})
}

// An end does not seal a record that is too long to open: the other end would blame the relay for it.
func TestRecordsAreBoundedAtBothEnds(t *testing.T) {
	send, open := ends(testSecret(t), dataChannel, envelope.ToViewer)
	longest := maxRecord - minRecord - len(`{"type":"status","text":""}`)
	wire := sealed(t, send, Message{Type: "status", Text: strings.Repeat("x", longest)})
	if _, err := open.open(wire); err != nil || len(wire) != maxRecord {
		t.Errorf("%d bytes: %v", len(wire), err)
	}

	if wire, err := send.seal(Message{Type: "status", Text: strings.Repeat("x", longest+1)}); err == nil {
		t.Errorf("a record of %d bytes is sealed", len(wire))
	}
	if _, err := open.open(sealed(t, send, Message{Type: "status"})); err != nil {
		t.Errorf("the next one: %v", err)
	}
}

// This end uses only those values of the other end's Network that it knows.
func TestNetworkIsPlausible(t *testing.T) {
	for _, tt := range []struct{ said, want Network }{
		{Network{}, Network{nat.UnknownMapping, "unknown", "", false}},
		{Network{nat.AddressDependent, "blocked", "tls", false},
			Network{nat.AddressDependent, "blocked", "tls", false}},
		{Network{"<b>", "of course", "pigeon", false}, Network{nat.UnknownMapping, "unknown", "", false}},
		{Network{nat.NoMapping, "open", "", true}, Network{nat.NoMapping, "open", "", true}},
	} {
		if got := tt.said.Plausible(); got != tt.want {
			t.Errorf("%+v is read as %+v, want %+v", tt.said, got, tt.want)
		}
	}
}
