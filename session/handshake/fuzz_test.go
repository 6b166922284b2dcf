package handshake

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"golang.org/x/time/rate"

	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/crypto/identity"
	"github.com/peephole-cam/peephole/printable"
)

// fuzzSecret returns a session secret that is the same in every fuzz worker.
func fuzzSecret() *Secret {
	return &Secret{
		key:     bytes.Repeat([]byte{1}, 32),
		id:      envelope.SessionID{2},
		camera:  identity.Fingerprint{3},
		viewer:  identity.Fingerprint{4},
		randomC: bytes.Repeat([]byte{5}, 32),
	}
}

// FuzzOpenRecord: only the genuine record opens, and only once.
func FuzzOpenRecord(f *testing.F) {
	send, _ := ends(fuzzSecret(), dataChannel, envelope.ToCamera)
	wire := sealed(f, send, Message{Type: "hello"})
	f.Add(wire)
	f.Add(wire[:recordHeader])
	f.Add([]byte{recordVersion})
	f.Add(append([]byte{recordVersion, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, wire[recordHeader:]...))

	f.Fuzz(func(t *testing.T, b []byte) {
		_, r := ends(fuzzSecret(), dataChannel, envelope.ToCamera)
		m, err := r.open(b)
		if (err == nil) != bytes.Equal(b, wire) || err != nil && (m.Type != "" || r.window != recordWindow{}) {
			t.Fatalf("opens: %t (%v), as %+v; the window is %+v", err == nil, err, m, r.window)
		}
		if _, err := r.open(b); err == nil {
			t.Error("opens twice")
		}
	})
}

// FuzzRecordInside: whatever a strange program at the other end seals is either malformed, or a message that survives
// being written and read again.
func FuzzRecordInside(f *testing.F) {
	for _, seed := range []string{`{"type":"hello","name":"x"}`, `{"type":"candidate","candidate":"","mid":"0"}`,
		`{"type":"challenge","challenge":"AAAAAAAAAAA"}`, `{"type":"status","code":"ok","text":"\u202e\u001b[2J"}`,
		`["type"]`, `{"challenge":"*"}`, `{"TYPE":"bye","type":null}`, ``} {
		f.Add([]byte(seed))
	}

	for _, size := range []int{maxRecord - minRecord, maxRecord - minRecord + 1} {
		f.Add([]byte(`{"type":"bye","reason":"` + strings.Repeat("x", size-26) + `"}`))
	}
	f.Add([]byte(`{"type":"bye","reason":"` + strings.Repeat("<", maxRecord/2) + `"}`)) // longer once it is escaped
	f.Fuzz(func(t *testing.T, inside []byte) {
		send, r := ends(fuzzSecret(), dataChannel, envelope.ToCamera)
		header := []byte{recordVersion, 0, 0, 0, 0, 0, 0, 0, 0}
		m, err := r.open(send.key.aead.Seal(header, send.key.nonce(0), inside, header))
		if err != nil {
			if tooLong := len(inside)+minRecord > maxRecord; tooLong != errors.Is(err, ErrRecord) ||
				!tooLong && !errors.Is(err, ErrMalformed) || m.Type != "" {
				t.Errorf("%d bytes: %+v, %v", len(inside), m, err)
			}
			return
		}

		if len(inside)+minRecord > maxRecord {
			t.Errorf("a record of %d bytes is accepted", len(inside)+minRecord)
		}

		send.next = 1
		wire, err := send.seal(m)
		if err != nil {
			if len(inside) < maxRecord/8 { // escaping may make a longer one too long
				t.Errorf("cannot write %+v: %v", m, err)
			}
			return
		}

		if again, err := r.open(wire); err != nil || !sameMessage(again, m) {
			t.Errorf("wrote %+v, and read it back as %+v, %v", m, again, err)
		}
	})
}

func sameMessage(a, b Message) bool {
	challenges := bytes.Equal(a.Challenge, b.Challenge)
	a.Challenge, b.Challenge = nil, nil
	x, err1 := json.Marshal(a)
	y, err2 := json.Marshal(b)
	return challenges && err1 == nil && err2 == nil && bytes.Equal(x, y)
}

// fuzzPairs returns a pair that is the same in every fuzz worker.
func fuzzPairs(f *testing.F) (camera, viewer *envelope.Pair) {
	f.Helper()
	c, err1 := identity.FromSeeds([32]byte{1}, [32]byte{2})
	v, err2 := identity.FromSeeds([32]byte{3}, [32]byte{4})
	if err := errors.Join(err1, err2); err != nil {
		f.Fatal(err)
	}

	return &envelope.Pair{
			Self:          c,
			Role:          identity.Camera,
			Peer:          v.Bundle(),
			Secret:        envelope.Secret{5},
			MailboxSecret: envelope.Secret{6},
		},
		&envelope.Pair{
			Self:          v,
			Role:          identity.Viewer,
			Peer:          c.Bundle(),
			Secret:        envelope.Secret{5},
			MailboxSecret: envelope.Secret{6},
		}
}

// described returns body, or, if it is empty, whole with old replaced by changed.
func described(whole []byte, old, changed string, body []byte) []byte {
	if len(body) > 0 {
		return body
	}
	return bytes.Replace(whole, []byte(old), []byte(changed), 1)
}

// FuzzParseOffer: an offer that is accepted has all its keys, is of one kind and within the limits, and survives being
// written and read again.
func FuzzParseOffer(f *testing.F) {
	o := anOffer()
	o.KEM, o.Random, o.Challenge = make(Blob, kemPublicSize), make(Blob, 32), make(Blob, challengeSize)
	whole := encoded(f, o)
	f.Add("", "", []byte{})
	f.Add(`{`, `{"lan":"AAAAAAAAAAA",`, []byte{})
	f.Add(`{`, `{"lan":"AAAAAAAAAA",`, []byte{})
	f.Add(`"carriers":["h264","vp8"]`, `"carriers":["a","b","c","d","e","f","g","h","i"]`, []byte{})
	f.Add(`{`, `{"still":true,`, []byte{})
	f.Add(`AAAA"`, `AAA"`, []byte{})
	f.Add("", "", []byte(`{"turn":{"urls":[""]}}`))

	f.Fuzz(func(t *testing.T, old, changed string, body []byte) {
		o, err := ParseOffer(described(whole, old, changed, body))
		if err != nil {
			if o != nil || !errors.Is(err, ErrMalformed) {
				t.Errorf("%+v, %v", o, err)
			}
			return
		}

		if len(o.KEM) != kemPublicSize || len(o.Random) != 32 || len(o.Challenge) != challengeSize ||
			len(o.SDP) > maxSDP || len(o.Carriers) > 8 || o.Still == (o.SDP != "") ||
			len(o.LAN) != 0 && len(o.LAN) != 8 {
			t.Errorf("%+v is accepted as an offer", o)
		}
		if again, err := ParseOffer(encoded(t, o)); err != nil || !reflect.DeepEqual(again, o) {
			t.Errorf("wrote %+v, and read it back as %+v, %v", o, again, err)
		}
	})
}

// FuzzParseAnswer: the same holds for an answer, which is also of the kind that the offer asked for.
func FuzzParseAnswer(f *testing.F) {
	whole := encoded(f, Answer{
		SDP:     "v=0",
		Enc:     make(Blob, kemEncSize),
		Random:  make(Blob, 32),
		Carrier: "vp8",
		Name:    "front door",
		LAN: &HostList{
			Version: make(Blob, 8),
			First:   20_779,
			Keys:    make(Blob, 60*32),
			Relays:  []string{"/ip4/192.0.2.1/udp/4001/quic-v1"},
		},
	})

	f.Add("", "", []byte{}, false)
	f.Add("", "", []byte{}, true)
	f.Add(`"sdp":"v=0",`, ``, []byte{}, true)
	f.Add(`"relays":["`, `"relays":["/a","/b","/c","/d","/e","/f","/g","/h","`, []byte{}, false)
	f.Add(`"first":20779`, `"first":4294967295`, []byte{}, false)
	f.Add(`AAAA"`, `AAA"`, []byte{}, false)
	f.Add("", "", []byte(`{"sdp":"v=0"}`), false)
	f.Fuzz(func(t *testing.T, old, changed string, body []byte, still bool) {
		a, err := parseAnswer(described(whole, old, changed, body), !still)
		if err != nil {
			if a != nil || !errors.Is(err, ErrMalformed) {
				t.Errorf("%+v, %v", a, err)
			}
			return
		}

		if len(a.Enc) != kemEncSize || len(a.Random) != 32 || len(a.SDP) > maxSDP || still == (a.SDP != "") {
			t.Errorf("%+v is accepted as an answer; a still: %t", a, still)
		}
		if l := a.LAN; l != nil && (len(l.Version) != 8 || len(l.PublicKeys()) != 60 || len(l.Keys) != 60*32 ||
			len(l.Relays) > 8 || len(strings.Join(l.Relays, "")) > 8*256) {
			t.Errorf("%+v is accepted as a host list", l)
		}
		if again, err := parseAnswer(encoded(t, a), !still); err != nil || !reflect.DeepEqual(again, a) {
			t.Errorf("wrote %+v, and read it back as %+v, %v", a, again, err)
		}
	})
}

// FuzzReply: whatever a strange program at the camera seals as its answer or refusal is an answer with all its keys, a
// refusal that a terminal may show, or malformed. It never raises an alarm about the relay.
func FuzzReply(f *testing.F) {
	camera, viewer := fuzzPairs(f)
	h, err := NewOfferer(viewer, nil)
	if err != nil {
		f.Fatal(err)
	}
	h.tries = rate.NewLimiter(rate.Inf, 0)
	box := viewer.Mailbox(envelope.ToCamera, 1)
	wire, err := h.SealOffer(box, Offer{SDP: "v=0", Carriers: []string{"vp8"}, Challenge: make(Blob, challengeSize)})
	if err != nil {
		f.Fatal(err)
	}

	opened, err := camera.Open(box, wire, time.Now())
	if err != nil {
		f.Fatal(err)
	}
	received := Received{Pair: camera, Opened: opened, Wire: wire}
	f.Add([]byte(`{"code":"busy","text":"\u001b[2Jwatched from too many places"}`), true)
	f.Add([]byte(`{"sdp":"v=0","enc":"","random":""}`), false)
	f.Add([]byte(`null`), true)
	f.Add(encoded(f, Answer{SDP: "v=0", Enc: make(Blob, kemEncSize), Random: make(Blob, 32), Carrier: "vp8"}), false)

	f.Fuzz(func(t *testing.T, body []byte, refusing bool) {
		if len(body) > envelope.MaxBody {
			return
		}
		kind := envelope.TypeAnswer
		if refusing {
			kind = envelope.TypeRefuse
		}

		wire, err := received.sealReply(kind, body)
		if err != nil {
			t.Fatal(err)
		}
		a, err := h.readReply(wire)
		var refusal *Refusal

		switch {
		case errors.As(err, &refusal):
			if shown := refusal.Error(); !refusing || shown != printable.Text(shown) {
				t.Errorf("a person would see %q", refusal.Error())
			}
		case err != nil:
			if !errors.Is(err, ErrMalformed) || errors.As(err, new(NotReplyError)) {
				t.Errorf("the camera's own fault is reported as %v", err)
			}
		case refusing || len(a.Enc) != kemEncSize || len(a.Random) != 32 || a.SDP == "" || len(a.SDP) > maxSDP:
			t.Errorf("accepted as an answer, while refusing: %t, %+v", refusing, a)
		}
	})
}

// FuzzChunks: a strange program at the camera seals the chunks of a still, and some of them arrive. Each item of the
// script has three bytes: the chunk arrives if the first is even, the second is the number of chunks that it claims,
// and the third is its length.
func FuzzChunks(f *testing.F) {
	f.Add([]byte{0, 1, 10})
	f.Add([]byte{0, 2, 10, 0, 2, 5})
	f.Add([]byte{1, 3, 10, 2, 3, 1, 4, 3, 9})
	f.Add([]byte{0, 0, 1, 0, 29, 1, 0, 2, 0, 0, 2, 1, 0, 1, 1})
	f.Fuzz(func(t *testing.T, script []byte) {
		s := fuzzSecret()
		sender, err := s.frameSender(stillTrack)
		if err != nil {
			t.Fatal(err)
		}
		a, err := s.NewStillAssembly(MaxChunks)
		if err != nil {
			t.Fatal(err)
		}

		pieces, count, done := make(map[int][]byte), 0, false
		for place := 0; len(script) > 2 && place < 64; place, script = place+1, script[3:] {
			body := bytes.Repeat([]byte{byte(place)}, int(script[2]))
			sealed, err := sender.Seal([]byte{chunkType}, s.binding(stillTrack), append([]byte{0, script[1]}, body...))
			if err != nil {
				t.Fatal(err)
			}
			if script[0]%2 == 1 {
				continue
			}

			if count == 0 && len(body) > 0 && script[1] > 0 && int(script[1]) <= MaxChunks {
				count = int(script[1]) // the first valid chunk determines how many there are
			}
			fits := len(body) > 0 && count > 0 && int(script[1]) == count && place < count
			whole, err := a.AddChunk(sealed)
			if (err == nil) != fits {
				t.Fatalf("chunk %d of %d, the still has %d: accepted %t (%v)", place, script[1], count, err == nil, err)
			}

			if fits {
				pieces[place] = body
			}
			if complete := fits && len(pieces) == count; complete != (whole != nil) || whole != nil && done {
				t.Fatalf("%d of %d chunks are whole: %t", len(pieces), count, whole != nil)
			}

			if whole != nil {
				done = true
				for n := range count {
					if whole = bytes.TrimPrefix(whole, pieces[n]); n == count-1 && len(whole) > 0 {
						t.Fatalf("%d bytes too many", len(whole))
					}
				}
			}

			if _, err := a.AddChunk(sealed); err == nil {
				t.Fatal("a chunk is accepted twice")
			}
		}

		if len(a.pieces) > MaxChunks {
			t.Errorf("%d pieces", len(a.pieces))
		}
	})
}
