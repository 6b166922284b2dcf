package handshake

import (
	"bytes"
	"crypto/subtle"
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/time/rate"
	"pgregory.net/rapid"

	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/crypto/identity"
	"github.com/peephole-cam/peephole/test/sessiontest"
)

// TestSessionModel: several viewers ask several cameras for sessions and stills, and an evil cloud delivers every
// offer, answer, record, frame and chunk to everybody, changed or not, late or twice. A camera forgets what it has
// answered, like one whose disk was rolled back. After each step the oracle says what must have opened. No key is ever
// used twice with the same nonce.
func TestSessionModel(t *testing.T) {
	happened := make(map[string]int)
	rapid.Check(t, func(t *rapid.T) {
		rapid.SyncTest(t, func(t *rapid.T) {
			w := newModelWorld(t, happened)
			for range 5 {
				t.Repeat(map[string]func(*rapid.T){"step": w.step})
			}
		})
		happened["worlds"]++
	})

	t.Log(happened)
	for _, event := range []string{"answered", "refused", "record obeyed", "record copy", "record late",
		"record foreign", "frame live", "frame delayed", "frame refused", "still whole", "chunk refused",
		"answered twice"} {
		if happened[event] == 0 && happened["worlds"] >= 100 {
			t.Errorf("no %q in %d worlds: the model does not test it", event, happened["worlds"])
		}
	}
}

// modelPair is a pair as each of its ends holds it.
type modelPair struct{ camera, viewer *envelope.Pair }

// modelViewer is a viewer's end.
type modelViewer struct {
	*Offerer
	known   modelAsking
	fresh   *Freshness
	values  []Challenge
	records *RecordKeys
	opener  *FrameOpener
	shown   []Frame
	refused int
	chunks  *StillAssembly
}

// modelCamera is a camera's end.
type modelCamera struct {
	known   modelServing
	secret  *Secret
	records *RecordKeys
	sealer  *FrameSealer
}

// modelMail is something that was sealed. The cloud keeps all of it.
type modelMail[T any] struct {
	T    T
	wire []byte
}

type modelWorld struct {
	pairs    []modelPair
	viewers  []*modelViewer // number n has index n-1
	cameras  []*modelCamera // number n has index n-1
	offers   []modelMail[int]
	replies  []modelMail[modelReply]
	records  []modelMail[modelRecord]
	frames   []modelMail[modelFrame]
	used     map[string]bool   // keystreams, and base keys with KID and CTR
	bindings map[string]string // whose each binding is
	happened map[string]int
}

func newModelWorld(t *rapid.T, happened map[string]int) *modelWorld {
	w := &modelWorld{used: make(map[string]bool), bindings: make(map[string]string), happened: happened}
	var devices []*identity.Private
	for range 4 {
		p, err := identity.Generate()
		if err != nil {
			t.Fatal(err)
		}
		devices = append(devices, p)
	}

	for _, d := range [][2]int{{0, 2}, {0, 3}, {1, 2}} {
		camera, viewer, s, m := devices[d[0]], devices[d[1]], envelope.Secret(sessiontest.Random(32)),
			envelope.Secret(sessiontest.Random(32))
		w.pairs = append(w.pairs, modelPair{
			&envelope.Pair{
				Self:          camera,
				Role:          identity.Camera,
				Peer:          viewer.Bundle(),
				Secret:        s,
				MailboxSecret: m,
			},
			&envelope.Pair{
				Self:          viewer,
				Role:          identity.Viewer,
				Peer:          camera.Bundle(),
				Secret:        s,
				MailboxSecret: m,
			},
		})
	}

	return w
}

func (w *modelWorld) step(t *rapid.T) {
	commands := []struct {
		name  string
		often int
		do    func(*rapid.T)
	}{
		{"ask", 3, w.ask}, {"deliver offer", 3, w.deliverOffer}, {"deliver reply", 4, w.deliverReply},
		{"seal record", 5, w.sealRecord}, {"deliver record", 6, w.deliverRecord}, {"challenge", 2, w.challenge},
		{"seal frame", 5, w.sealFrame}, {"deliver frame", 8, w.deliverFrame}, {"seal still", 2, w.sealChunks},
		{"copy the secret", 1, w.copySecret}, {"pass time", 2, w.passTime},
	}

	var names []string
	does := make(map[string]func(*rapid.T))
	for _, c := range commands {
		names = append(names, slices.Repeat([]string{c.name}, c.often)...)
		does[c.name] = c.do
	}
	does[drawOne(t, "command", names...)](t)
}

// drawOne draws one of several values, each equally often. rapid's own generators prefer the first.
func drawOne[T any](t *rapid.T, what string, all ...T) T {
	return rapid.Custom(func(t *rapid.T) T {
		var n uint
		for range bits.Len(uint(len(all))) + 4 {
			if n <<= 1; rapid.Bool().Draw(t, "") {
				n++
			}
		}
		return all[n%uint(len(all))]
	}).Draw(t, what)
}

// drawIndex draws an index below n, which must not be 0. Every other time it draws one of the last few.
func drawIndex(t *rapid.T, what string, n int) int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	if drawOne(t, "of the last few", false, true) {
		all = all[max(0, n-4):]
	}

	return drawOne(t, what, all...)
}

// drawWire returns a message as it was sealed, or changed.
func drawWire(t *rapid.T, wire []byte) (got []byte, genuine bool) {
	if drawOne(t, "changed", true, false, false, false, false) {
		c := bytes.Clone(wire)
		switch drawOne(t, "how", "flip", "flip", "cut", "lengthen") {
		case "flip":
			c[drawIndex(t, "byte", len(c))] ^= 1 << drawOne(t, "bit", 0, 1, 2, 3, 4, 5, 6, 7)
		case "cut":
			c = c[:drawIndex(t, "to", len(c))]
		case "lengthen":
			c = append(c, 0)
		}

		return c, false
	}
	return wire, true
}

// once fails if the same key and nonce are used again. key identifies them, or is the keystream that they make.
func (w *modelWorld) once(t *rapid.T, what string, key []byte) {
	if w.used[what+string(key)] {
		t.Fatalf("%s: a key and nonce are used twice", what)
	}
	w.used[what+string(key)] = true
}

func keystream(ciphertext, plaintext []byte) []byte {
	k := make([]byte, 16)
	subtle.XORBytes(k, ciphertext[:16], plaintext[:16])
	return k
}

const modelDay = 7

// ask begins a session or a still at a viewer.
func (w *modelWorld) ask(t *rapid.T) {
	pair := drawOne(t, "pair", 1, 2, 3)
	h, err := NewOfferer(w.pairs[pair-1].viewer, nil)
	h.tries = rate.NewLimiter(rate.Inf, 0)
	if err != nil {
		t.Fatal(err)
	}

	v := &modelViewer{Offerer: h, fresh: NewFreshness(sessiontest.Clock())}
	v.known = modelAsking{
		number:  len(w.viewers) + 1,
		pair:    pair,
		still:   drawOne(t, "still", true, false, false),
		expires: time.Now().Truncate(time.Millisecond).Add(OfferLife),
		chunks:  make(map[int]bool),
	}

	first := v.issue()
	o := Offer{Still: v.known.still, Challenge: first[:]}
	if !o.Still {
		o.SDP, o.Carriers = "v=0", []string{"h264"}
	}

	wire, err := h.SealOffer(h.pair.Mailbox(envelope.ToCamera, modelDay), o)
	if err != nil {
		t.Fatal(err)
	}
	w.viewers = append(w.viewers, v)
	w.offers = append(w.offers, modelMail[int]{v.known.number, wire})
	w.deliverTo(t, len(w.offers)-1)
}

func (v *modelViewer) issue() Challenge {
	c := v.fresh.Issue()
	v.values, v.known.challenges = append(v.values, c), append(v.known.challenges, time.Now())
	return c
}

func (w *modelWorld) deliverOffer(t *rapid.T) {
	if len(w.offers) > 0 {
		w.deliverTo(t, drawIndex(t, "offer", len(w.offers)))
	}
}

// deliverTo delivers an offer to the camera's end of every pair. Each end that can open it answers it again, like one
// that has forgotten everything.
func (w *modelWorld) deliverTo(t *rapid.T, n int) {
	asking := w.viewers[w.offers[n].T-1]
	wire, genuine := drawWire(t, w.offers[n].wire)
	for p := range w.pairs {
		for _, day := range []uint32{modelDay, modelDay + 1} {
			pair := w.pairs[p].camera
			opened, err := pair.Open(pair.Mailbox(envelope.ToCamera, day), wire, time.Now())
			may := genuine && asking.known.pair == p+1 && day == modelDay &&
				!time.Now().After(asking.known.expires.Add(modelSkew))
			if (err == nil) != may {
				t.Fatalf("offer of asking %d at pair %d: opens %t (%v), the oracle says %t", asking.known.number, p+1,
					err == nil, err, may)
			}

			if err == nil {
				w.reply(t, asking, Received{Pair: pair, Opened: opened, Wire: wire})
			}
		}
	}
}

// reply answers an offer, or refuses it.
func (w *modelWorld) reply(t *rapid.T, asking *modelViewer, received Received) {
	o, err := ParseOffer(received.Opened.Body)
	if err != nil || o.Still != asking.known.still || received.Opened.Session != asking.id {
		t.Fatalf("the offer of asking %d reads as another one: %v", asking.known.number, err)
	}
	r := modelReply{asking: asking.known.number, expires: time.Now().Truncate(time.Millisecond).Add(OfferLife)}
	if drawOne(t, "refuse", true, false, false, false, false, false) {
		wire, err := received.Refuse(Refusal{Code: "busy", Text: fmt.Sprint(asking.known.number)})
		if err != nil {
			t.Fatal(err)
		}
		w.replies = append(w.replies, modelMail[modelReply]{r, wire})
		return
	}

	a := Answer{Name: "a camera"}
	if !o.Still {
		a.SDP, a.Carrier = "v=0", "h264"
	}
	wire, s, err := received.Answer(o, a)
	if err != nil {
		t.Fatal(err)
	}

	w.serve(t, &modelCamera{known: modelServing{asking: asking.known.number, challenge: 1}, secret: s}, o.Challenge)
	r.serving = len(w.cameras)
	w.replies = append(w.replies, modelMail[modelReply]{r, wire})
}

// serve adds a camera's end that has its secret.
func (w *modelWorld) serve(t *rapid.T, c *modelCamera, first Blob) {
	c.known.number = len(w.cameras) + 1
	if c.known.secret == 0 {
		c.known.secret = c.known.number
		c.records = c.secret.RecordKeys(envelope.ToViewer)
	}

	c.known.random = c.known.number
	var err error
	if c.sealer, err = c.secret.NewFrameSealer(first); err != nil {
		t.Fatal(err)
	}
	asking := w.viewers[c.known.asking-1]

	for _, track := range []byte{videoTrack, stillTrack} {
		whose := fmt.Sprint(asking.known.pair, asking.id, track)
		binding := string(c.secret.binding(track))
		if before, ok := w.bindings[binding]; ok && before != whose {
			t.Fatalf("the frames of %s have the binding of %s", whose, before)
		}
		w.bindings[binding] = whose
	}
	w.cameras = append(w.cameras, c)
}

// copySecret uses a session's secret a second time, as if all random numbers had been drawn again except the camera's
// own for this answer.
func (w *modelWorld) copySecret(t *rapid.T) {
	if len(w.cameras) == 0 {
		return
	}
	from := w.cameras[drawIndex(t, "camera", len(w.cameras))]
	again := *from.secret
	again.randomC = sessiontest.Random(32)
	c := &modelCamera{known: modelServing{
		asking:    from.known.asking,
		secret:    from.known.secret,
		challenge: from.known.challenge,
	}, secret: &again}

	c.records = from.records
	w.serve(t, c, w.viewers[from.known.asking-1].values[0][:])
}

// deliverReply delivers a reply to every viewer's end that waits for one.
func (w *modelWorld) deliverReply(t *rapid.T) {
	if len(w.replies) == 0 {
		return
	}
	r := w.replies[drawIndex(t, "reply", len(w.replies))]
	wire, genuine := drawWire(t, r.wire)
	for _, v := range w.viewers {
		if !v.known.over {
			w.bringReply(t, v, r.T, wire, genuine)
		}
	}
}

func (w *modelWorld) bringReply(t *rapid.T, v *modelViewer, r modelReply, wire []byte, genuine bool) {
	_, s, err := v.openReply(wire)
	var refusal *Refusal
	may := genuine && v.known.takes(r, time.Now())
	if took, refused := err == nil, errors.As(err, &refusal); took != (may && r.serving != 0) ||
		refused != (may && r.serving == 0) {
		t.Fatalf("reply %+v at asking %d: accepted %t, a refusal %t (%v), the oracle says %t", r, v.known.number, took,
			refused, err, may)
	}

	if !may {
		return
	}
	v.known.over, v.known.serving = true, r.serving
	if r.serving == 0 {
		w.happened["refused"]++
		if refusal.Text != fmt.Sprint(v.known.number) {
			t.Fatalf("asking %d is refused with %q", v.known.number, refusal.Text)
		}
		return
	}

	w.happened["answered"]++
	if slices.ContainsFunc(w.replies, func(o modelMail[modelReply]) bool {
		return o.T.asking == r.asking && o.T.serving != 0 && o.T.serving != r.serving
	}) {
		w.happened["answered twice"]++
	}
	v.begin(t, s)
}

// begin derives the keys with which a viewer's end opens from a secret.
func (v *modelViewer) begin(t *rapid.T, s *Secret) {
	v.records = s.RecordKeys(envelope.ToCamera)
	var err error
	if v.opener, err = s.NewFrameOpener(v.fresh); err != nil {
		t.Fatal(err)
	}
	if v.chunks, err = s.NewStillAssembly(MaxChunks); err != nil {
		t.Fatal(err)
	}
}

func (w *modelWorld) passTime(t *rapid.T) {
	time.Sleep(drawOne(t, "time", time.Millisecond, time.Second, 2*time.Second, 5*time.Second, 5001*time.Millisecond,
		time.Minute, 3*time.Minute))
}

// modelText returns the content of record or frame n, by which it can be recognized.
func modelText(n int) string { return fmt.Sprint(n, " ", strings.Repeat("x", n%7)) }
