package handshake

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/peephole-cam/peephole/test/sessiontest"
)

func anOffer() Offer {
	return Offer{
		SDP:       "v=0",
		KEM:       sessiontest.Random(kemPublicSize),
		Random:    sessiontest.Random(32),
		Challenge: sessiontest.Random(challengeSize),
		Carriers:  []string{"h264", "vp8"},
	}
}

func encoded(t testing.TB, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestOfferIsWholeAndOfOneKind(t *testing.T) {
	want := anOffer()
	want.TURN = &TURN{URLs: []string{"turn:127.0.0.1:3478"}, Username: "u", Credential: "c"}
	want.RelayOnly, want.Agent, want.Watch, want.First, want.Nonce = true, "test", sessiontest.Random(16), true,
		sessiontest.Random(NonceSize)
	if got, err := ParseOffer(encoded(t, want)); err != nil || !reflect.DeepEqual(*got, want) {
		t.Errorf("parse: %+v, %v; want %+v", got, err, want)
	}

	for name, change := range map[string]func(o *Offer){
		"no SDP":                func(o *Offer) { o.SDP = "" },
		"a huge SDP":            func(o *Offer) { o.SDP = strings.Repeat("a", maxSDP+1) },
		"a short KEM key":       func(o *Offer) { o.KEM = o.KEM[1:] },
		"a long KEM key":        func(o *Offer) { o.KEM = append(o.KEM, 0) },
		"a short random":        func(o *Offer) { o.Random = o.Random[1:] },
		"no random":             func(o *Offer) { o.Random = nil },
		"a short challenge":     func(o *Offer) { o.Challenge = o.Challenge[1:] },
		"a long challenge":      func(o *Offer) { o.Challenge = append(o.Challenge, 0) },
		"no carrier":            func(o *Offer) { o.Carriers = nil },
		"too many carriers":     func(o *Offer) { o.Carriers = make([]string, 9) },
		"a still with an SDP":   func(o *Offer) { o.Still, o.Carriers = true, nil },
		"a still with carriers": func(o *Offer) { o.Still, o.SDP = true, "" },
		"a still with TURN":     func(o *Offer) { o.Still, o.SDP, o.Carriers, o.TURN = true, "", nil, &TURN{} },
		"a still and first":     func(o *Offer) { o.Still, o.SDP, o.Carriers, o.First = true, "", nil, true },
		"a still and bulk":      func(o *Offer) { o.Still, o.Bulk, o.SDP, o.Carriers = true, true, "", nil },
		"bulk with an SDP":      func(o *Offer) { o.Bulk, o.Carriers = true, nil },
		"bulk with carriers":    func(o *Offer) { o.Bulk, o.SDP = true, "" },
		"bulk and first":        func(o *Offer) { o.Bulk, o.SDP, o.Carriers, o.First = true, "", nil, true },
		"a short watch":         func(o *Offer) { o.Watch = sessiontest.Random(15) },
		"a short nonce":         func(o *Offer) { o.Nonce = sessiontest.Random(NonceSize - 1) },
		"a long nonce":          func(o *Offer) { o.Nonce = sessiontest.Random(NonceSize + 1) },
		"too many TURN servers": func(o *Offer) { o.TURN = &TURN{URLs: make([]string, 9)} },
		"a long TURN server":    func(o *Offer) { o.TURN = &TURN{URLs: []string{"turn:" + strings.Repeat("x", 300)}} },
		"a long TURN username":  func(o *Offer) { o.TURN = &TURN{Username: strings.Repeat("x", 509)} },
		"a long TURN password":  func(o *Offer) { o.TURN = &TURN{Credential: strings.Repeat("x", 509)} },
	} {
		o := anOffer()
		change(&o)
		if _, err := ParseOffer(encoded(t, o)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v, want %v", name, err, ErrMalformed)
		}
	}

	for _, body := range []string{"", "null", "[]", `{"sdp":1}`, `{"kem":"not base64url!"}`, `{"kem":"AB=="}`,
		`{"kem":"AB"}`} {
		if _, err := ParseOffer([]byte(body)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%q: %v, want %v", body, err, ErrMalformed)
		}
	}
}

// An offer of a bulk session may name TURN servers. Its answer describes no connection, and that of a connection does.
func TestBulkOfferHasNoDescription(t *testing.T) {
	want := anOffer()
	want.Bulk, want.SDP, want.Carriers, want.TURN = true, "", nil, &TURN{URLs: []string{"turn:127.0.0.1:3478"}}
	if got, err := ParseOffer(encoded(t, want)); err != nil || !reflect.DeepEqual(*got, want) {
		t.Errorf("parse: %+v, %v; want %+v", got, err, want)
	}

	a := Answer{Enc: sessiontest.Random(kemEncSize), Random: sessiontest.Random(32), Name: "front door"}
	if _, err := parseAnswer(encoded(t, a), want.described()); err != nil {
		t.Errorf("an answer without a description: %v", err)
	}
	a.SDP = "v=0"
	if _, err := parseAnswer(encoded(t, a), want.described()); !errors.Is(err, ErrMalformed) {
		t.Errorf("an answer with a description: %v", err)
	}
}

func TestAnswerIsWhole(t *testing.T) {
	want := Answer{
		SDP:     "v=0",
		Enc:     sessiontest.Random(kemEncSize),
		Random:  sessiontest.Random(32),
		Carrier: "vp8",
		Name:    "front door",
	}

	if got, err := parseAnswer(encoded(t, want), true); err != nil || !reflect.DeepEqual(*got, want) {
		t.Errorf("parse: %+v, %v; want %+v", got, err, want)
	}
	for name, change := range map[string]func(a *Answer){
		"no SDP":          func(a *Answer) { a.SDP = "" },
		"a huge SDP":      func(a *Answer) { a.SDP = strings.Repeat("a", maxSDP+1) },
		"a short enc":     func(a *Answer) { a.Enc = a.Enc[1:] },
		"a long random":   func(a *Answer) { a.Random = append(a.Random, 0) },
		"no random":       func(a *Answer) { a.Random = nil },
		"no enc":          func(a *Answer) { a.Enc = nil },
		"an enc too long": func(a *Answer) { a.Enc = append(a.Enc, 0) },
	} {
		a := want
		a.Enc, a.Random = append(Blob{}, want.Enc...), append(Blob{}, want.Random...)
		change(&a)
		if _, err := parseAnswer(encoded(t, a), true); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v, want %v", name, err, ErrMalformed)
		}
	}
}
