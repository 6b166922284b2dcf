package session

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
)

func anOffer() offer {
	return offer{SDP: "v=0", KEM: fresh(kemPublicSize), Random: fresh(32), Challenge: fresh(challengeSize), Carriers: []string{"h264", "vp8"}}
}

func encoded(t testing.TB, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestParseOffer(t *testing.T) {
	want := anOffer()
	want.TURN = &TURN{URLs: []string{"turn:127.0.0.1:3478"}, Username: "u", Credential: "c"}
	want.RelayOnly, want.Agent, want.Watch, want.First = true, "test", fresh(16), true
	if got, err := parseOffer(encoded(t, want)); err != nil || !reflect.DeepEqual(*got, want) {
		t.Errorf("parse: %+v, %v; want %+v", got, err, want)
	}
	for name, change := range map[string]func(o *offer){
		"no SDP":                func(o *offer) { o.SDP = "" },
		"a huge SDP":            func(o *offer) { o.SDP = strings.Repeat("a", maxSDP+1) },
		"a short KEM key":       func(o *offer) { o.KEM = o.KEM[1:] },
		"a long KEM key":        func(o *offer) { o.KEM = append(o.KEM, 0) },
		"a short random":        func(o *offer) { o.Random = o.Random[1:] },
		"no random":             func(o *offer) { o.Random = nil },
		"a short challenge":     func(o *offer) { o.Challenge = o.Challenge[1:] },
		"a long challenge":      func(o *offer) { o.Challenge = append(o.Challenge, 0) },
		"no carrier":            func(o *offer) { o.Carriers = nil },
		"too many carriers":     func(o *offer) { o.Carriers = make([]string, 9) },
		"a still with an SDP":   func(o *offer) { o.Still, o.Carriers = true, nil },
		"a still with carriers": func(o *offer) { o.Still, o.SDP = true, "" },
		"a still with TURN":     func(o *offer) { o.Still, o.SDP, o.Carriers, o.TURN = true, "", nil, &TURN{} },
		"a still and first":     func(o *offer) { o.Still, o.SDP, o.Carriers, o.First = true, "", nil, true },
		"a short watch":         func(o *offer) { o.Watch = fresh(15) },
		"too many TURN server":  func(o *offer) { o.TURN = &TURN{URLs: make([]string, 9)} },
	} {
		o := anOffer()
		change(&o)
		if _, err := parseOffer(encoded(t, o)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v, want %v", name, err, ErrMalformed)
		}
	}
	for _, body := range []string{"", "null", "[]", `{"sdp":1}`, `{"kem":"not base64url!"}`, `{"kem":"AB=="}`, `{"kem":"AB"}`} {
		if _, err := parseOffer([]byte(body)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%q: %v, want %v", body, err, ErrMalformed)
		}
	}
}

func TestParseAnswer(t *testing.T) {
	want := answer{SDP: "v=0", Enc: fresh(kemEncSize), Random: fresh(32), Carrier: "vp8", Name: "front door"}
	if got, err := parseAnswer(encoded(t, want), false); err != nil || !reflect.DeepEqual(*got, want) {
		t.Errorf("parse: %+v, %v; want %+v", got, err, want)
	}
	for name, change := range map[string]func(a *answer){
		"no SDP":          func(a *answer) { a.SDP = "" },
		"a huge SDP":      func(a *answer) { a.SDP = strings.Repeat("a", maxSDP+1) },
		"a short enc":     func(a *answer) { a.Enc = a.Enc[1:] },
		"a long random":   func(a *answer) { a.Random = append(a.Random, 0) },
		"no random":       func(a *answer) { a.Random = nil },
		"no enc":          func(a *answer) { a.Enc = nil },
		"an enc too long": func(a *answer) { a.Enc = append(a.Enc, 0) },
	} {
		a := want
		a.Enc, a.Random = append(blob{}, want.Enc...), append(blob{}, want.Random...)
		change(&a)
		if _, err := parseAnswer(encoded(t, a), false); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v, want %v", name, err, ErrMalformed)
		}
	}
}
