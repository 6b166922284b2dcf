package handshake

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"pgregory.net/rapid"

	"github.com/peephole-cam/peephole/media"
	"github.com/peephole-cam/peephole/test/sessiontest"
)

// sealRecord makes an end seal a record.
func (w *modelWorld) sealRecord(t *rapid.T) {
	if len(w.cameras) == 0 {
		return
	}
	c := w.cameras[drawIndex(t, "camera", len(w.cameras))]
	r := modelRecord{
		secret:   c.known.secret,
		toCamera: drawOne(t, "to camera", true, false),
		channel:  drawOne(t, "channel", signalingChannel, dataChannel),
		text:     modelText(len(w.records)),
	}

	keys := c.records
	if r.toCamera {
		v := w.viewers[c.known.asking-1]
		if v.known.serving != c.known.secret {
			return // the viewer's end accepted another answer, or none yet
		}
		keys = v.records
	}
	w.record(t, keys, r, Message{Type: "status", Text: r.text})
}

// challenge makes a viewer issue a challenge and seal it.
func (w *modelWorld) challenge(t *rapid.T) {
	if len(w.viewers) == 0 {
		return
	}
	v := w.viewers[drawIndex(t, "viewer", len(w.viewers))]
	c := v.issue()
	if v.known.serving != 0 {
		w.record(t, v.records, modelRecord{
			secret:    v.known.serving,
			toCamera:  true,
			channel:   dataChannel,
			challenge: len(v.known.challenges),
		}, Message{Type: "challenge", Challenge: c[:]})
	}
}

func (w *modelWorld) record(t *rapid.T, keys *RecordKeys, r modelRecord, m Message) {
	out := keys.Signaling.out
	if r.channel == dataChannel {
		out = keys.Data.out
	}
	r.counter = out.next
	wire, err := out.seal(m)
	if err != nil {
		t.Fatal(err)
	}
	w.once(t, "record", keystream(wire[recordHeader:], []byte(fmt.Sprintf(`{"type":"%s","`, m.Type))))
	w.records = append(w.records, modelMail[modelRecord]{r, wire})
}

// deliverRecord delivers a record to every end, on both channels.
func (w *modelWorld) deliverRecord(t *rapid.T) {
	if len(w.records) == 0 {
		return
	}
	r := w.records[drawIndex(t, "record", len(w.records))]
	wire, genuine := drawWire(t, r.wire)
	for _, ch := range []channel{signalingChannel, dataChannel} {
		for _, c := range w.cameras {
			if c.known.number != c.known.secret {
				continue // a copy has the keys of its original
			}
			opens := genuine && r.T.opens(c.known.secret, true, ch)
			m, ok := w.openRecord(t, c.records, ch, wire, r.T, &c.known.records[ch], opens)
			if ok && m.Type == "challenge" && ch == dataChannel {
				c.sealer.AnswerChallenge(m.Challenge)
				c.known.challenge = r.T.challenge
			}
		}

		for _, v := range w.viewers {
			if v.known.serving == 0 {
				continue
			}
			opens := genuine && r.T.opens(v.known.serving, false, ch)
			w.openRecord(t, v.records, ch, wire, r.T, &v.known.records[ch], opens)
		}
	}
}

func (w *modelWorld) openRecord(t *rapid.T, keys *RecordKeys, ch channel, wire []byte, r modelRecord,
	heard *modelHeard, opens bool) (Message, bool) {
	in := keys.Signaling.in
	if ch == dataChannel {
		in = keys.Data.in
	}
	verdict := modelForeign
	if opens {
		verdict = heard.judge(r)
	}

	m, err := in.open(wire)
	if want := modelErrors[verdict]; !errors.Is(err, want) {
		t.Fatalf("record %+v on channel %d: %v, the oracle says %s", r, ch, err, verdict)
	}
	w.happened["record "+string(verdict)]++
	if verdict != modelObeyed {
		if m.Type != "" || m.Text != "" {
			t.Fatalf("record %+v is %s, but part of it is returned", r, verdict)
		}
		return m, false
	}

	if m.Text != r.text || (len(m.Challenge) > 0) != (r.challenge > 0) {
		t.Fatalf("record %+v opens as %+v", r, m)
	}
	return m, true
}

// modelErrors is how the code under test says what becomes of a record.
var modelErrors = map[modelVerdict]error{
	modelForeign: ErrRecord,
	modelCopy:    ErrRecordCopy,
	modelLate:    ErrRecordLate,
	modelObeyed:  nil,
}

// sealFrame makes a camera's end seal a frame that it captured some time ago.
func (w *modelWorld) sealFrame(t *rapid.T) {
	if len(w.cameras) == 0 {
		return
	}
	c := w.cameras[drawIndex(t, "camera", len(w.cameras))]
	old := drawOne(t, "captured", 0, 0, 0, 5*time.Second, 5001*time.Millisecond)
	f := modelFrame{
		secret:    c.known.secret,
		random:    c.known.random,
		place:     c.known.frames,
		challenge: c.known.challenge,
		data:      modelText(len(w.frames) + 1),
	}

	if old > 5*time.Second {
		f.challenge = 0
	}
	unit := media.AccessUnit{
		Data:     []byte(f.data),
		Captured: sessiontest.Ago(old),
		Keyframe: drawOne(t, "keyframe", true, false),
	}

	sealed, err := c.sealer.Seal(c.sealer.Cut(unit)[0])
	if err != nil {
		t.Fatal(err)
	}
	c.known.frames++
	w.sealed(t, c, videoTrack, sealed, c.sealer.plaintext)
	w.frames = append(w.frames, modelMail[modelFrame]{f, bytes.Clone(sealed)})
}

// sealed checks that neither the key, KID and CTR of a ciphertext nor its keystream were used before. A CTR below 128
// is in the first two bytes.
func (w *modelWorld) sealed(t *rapid.T, c *modelCamera, track byte, sealed, plaintext []byte) {
	header := 1
	if sealed[0]&8 != 0 {
		header = 2
	}
	w.once(t, "frame", append(c.secret.cameraBaseKey(track), sealed[:header]...))
	w.once(t, "keystream", keystream(sealed[header:], plaintext))
}

// sealChunks makes a camera's end seal a still.
func (w *modelWorld) sealChunks(t *rapid.T) {
	if len(w.cameras) == 0 {
		return
	}
	c := w.cameras[drawIndex(t, "camera", len(w.cameras))]
	if c.known.sealedStill {
		return // a session has one still
	}

	c.known.sealedStill = true
	whole := make([]byte, drawOne(t, "size", 100, chunkBytes+1, 2*chunkBytes+1))
	copy(whole, modelText(c.known.number))
	bodies, err := c.secret.sealChunks(whole)
	if err != nil {
		t.Fatal(err)
	}

	for n, body := range bodies {
		plaintext := append([]byte{0, byte(len(bodies))}, whole[n*chunkBytes:min(len(whole), (n+1)*chunkBytes)]...)
		if len(plaintext) >= 16 {
			w.sealed(t, c, stillTrack, body[1:], plaintext)
		}
		w.frames = append(w.frames, modelMail[modelFrame]{modelFrame{
			secret: c.known.secret,
			random: c.known.random,
			chunk:  true,
			place:  uint64(n),
			data:   string(whole),
		}, body})
	}
}

// deliverFrame delivers a frame or chunk to every viewer's end, both as a frame and as a chunk.
func (w *modelWorld) deliverFrame(t *rapid.T) {
	if len(w.frames) == 0 {
		return
	}
	f := w.frames[drawIndex(t, "frame", len(w.frames))]
	wire, genuine := drawWire(t, f.wire)
	for _, v := range w.viewers {
		if v.known.serving == 0 {
			continue
		}
		w.show(t, v, f.T, wire, genuine)
		if !f.T.chunk && len(wire) > 0 {
			w.show(t, v, f.T, wire[1:], false)
			w.piece(t, v, f.T, append([]byte{chunkType}, wire...), false)
		}

		w.piece(t, v, f.T, wire, genuine)
		if f.T.chunk && len(wire) > 0 {
			w.show(t, v, f.T, wire[1:], false)
		}
	}
}

// open tries to open a frame, as a receiver does.
func (v *modelViewer) open(wire []byte) {
	f, whole, err := v.opener.Open(wire)
	switch {
	case err != nil:
		v.refused++
	case whole:
		v.shown = append(v.shown, f)
	}
}

func (w *modelWorld) show(t *rapid.T, v *modelViewer, f modelFrame, wire []byte, genuine bool) {
	shown, refused, now := len(v.shown), v.refused, time.Now()
	may := genuine && v.known.opens(f, false) && f.place >= v.known.frame
	v.open(wire)
	if got := len(v.shown) - shown; got+v.refused-refused != 1 || (got == 1) != may {
		t.Fatalf("frame %+v at asking %d, which has answer %d and waits for %d: shown %d times, the oracle says %t",
			f, v.known.number, v.known.serving, v.known.frame, got, may)
	}
	if !may {
		w.happened["frame refused"]++
		return
	}

	v.known.frame = f.place + 1
	got := v.shown[shown]
	if string(got.AccessUnit) != f.data || got.CTR != f.place || got.Live() != v.known.live(f.challenge, now) {
		t.Fatalf("frame %+v is shown as %q, %d, live %t; the oracle says live %t", f, got.AccessUnit, got.CTR,
			got.Live(), v.known.live(f.challenge, now))
	}
	w.happened[map[bool]string{true: "frame live", false: "frame delayed"}[got.Live()]]++
}

func (w *modelWorld) piece(t *rapid.T, v *modelViewer, f modelFrame, wire []byte, genuine bool) {
	may := genuine && v.known.opens(f, true) && !v.known.chunks[int(f.place)]
	missing := v.chunks.missing
	whole, err := v.chunks.AddChunk(wire)
	if (err == nil) != may || whole != nil && string(whole) != f.data {
		t.Fatalf("chunk %d of %d at asking %d: opens %t (%v), the oracle says %t", f.place, f.random, v.known.number,
			err == nil, err, may)
	}

	if !may {
		w.happened["chunk refused"]++
		if v.chunks.missing != missing {
			t.Fatal("a chunk that did not open counts")
		}
		return
	}

	v.known.chunks[int(f.place)] = true
	if (len(v.known.chunks) == (len(f.data)+chunkBytes-1)/chunkBytes) != (whole != nil) {
		t.Fatalf("a still of %d bytes with %d chunks is whole: %t", len(f.data), len(v.known.chunks), whole != nil)
	}
	if whole != nil {
		w.happened["still whole"]++
	}
}
