package handshake

import (
	"bytes"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/test/sessiontest"
)

// aHostList returns a host list that is as large as one may be.
func aHostList() *HostList {
	relay := "/dns4/relay.example/udp/4001/quic-v1/p2p/"
	l := &HostList{
		Version: sessiontest.Random(8),
		First:   20_779,
		Keys:    sessiontest.Random(60 * 32),
	}
	for range 8 {
		l.Relays = append(l.Relays, relay+strings.Repeat("x", 256-len(relay)))
	}
	return l
}

func TestAnswerHoldsAWholeHostListOrNone(t *testing.T) {
	want := Answer{
		SDP:     "v=0",
		Enc:     sessiontest.Random(kemEncSize),
		Random:  sessiontest.Random(32),
		Carrier: "vp8",
		LAN:     aHostList(),
	}
	if got, err := parseAnswer(encoded(t, want), true); err != nil || !reflect.DeepEqual(*got, want) {
		t.Errorf("parse: %+v, %v; want %+v", got, err, want)
	}

	for name, change := range map[string]func(l *HostList){
		"no version":        func(l *HostList) { l.Version = nil },
		"a short version":   func(l *HostList) { l.Version = l.Version[1:] },
		"a long version":    func(l *HostList) { l.Version = append(l.Version, 0) },
		"no keys":           func(l *HostList) { l.Keys = nil },
		"59 keys":           func(l *HostList) { l.Keys = l.Keys[32:] },
		"61 keys":           func(l *HostList) { l.Keys = append(l.Keys, l.Keys[:32]...) },
		"a day beyond all":  func(l *HostList) { l.First = math.MaxUint32 - 59 },
		"nine relays":       func(l *HostList) { l.Relays = append(l.Relays, "/ip4/192.0.2.1") },
		"a relay too long":  func(l *HostList) { l.Relays[3] += "x" },
		"an empty relay":    func(l *HostList) { l.Relays[7] = "" },
		"a URL for a relay": func(l *HostList) { l.Relays[0] = "https://relay.example" },
		"a line break":      func(l *HostList) { l.Relays[0] = "/ip4/192.0.2.1\n/p2p/x" },
		"a space":           func(l *HostList) { l.Relays[0] = "/ip4/192.0.2.1 /p2p/x" },
		"an umlaut":         func(l *HostList) { l.Relays[0] = "/dns4/küche" },
	} {
		a := want
		a.LAN = aHostList()
		change(a.LAN)
		if _, err := parseAnswer(encoded(t, a), true); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v, want %v", name, err, ErrMalformed)
		}
	}
}

func TestOfferNamesAVersionOfEightBytes(t *testing.T) {
	want := anOffer()
	want.LAN = make(Blob, 8)
	if got, err := ParseOffer(encoded(t, want)); err != nil || !reflect.DeepEqual(*got, want) {
		t.Errorf("parse: %+v, %v; want %+v", got, err, want)
	}

	for _, size := range []int{1, 7, 9} {
		o := anOffer()
		o.LAN = make(Blob, size)
		if _, err := ParseOffer(encoded(t, o)); !errors.Is(err, ErrMalformed) {
			t.Errorf("a version of %d bytes: %v, want %v", size, err, ErrMalformed)
		}
	}
}

func TestHostListHasItsKeysInOrder(t *testing.T) {
	l := aHostList()
	keys := l.PublicKeys()
	if len(keys) != 60 || !bytes.Equal(keys[0], l.Keys[:32]) || !bytes.Equal(keys[59], l.Keys[59*32:]) {
		t.Errorf("%d keys: %x", len(keys), keys)
	}
	if keys := (HostList{}).PublicKeys(); len(keys) != 0 {
		t.Errorf("a list that holds nothing has %d keys", len(keys))
	}
}

// Even beside the largest description the largest list fits into an envelope.
func TestLargestHostListFitsIntoAnAnswer(t *testing.T) {
	camera, viewer := sessiontest.Pair(t)
	h, received := offeredTo(t, camera, viewer, Offer{
		SDP:       "v=0",
		Challenge: make(Blob, challengeSize),
		Carriers:  []string{"vp8"},
		LAN:       make(Blob, 8),
	})
	o, err := ParseOffer(received.Opened.Body)
	if err != nil {
		t.Fatal(err)
	}

	list := aHostList()
	wire, _, err := received.Answer(o, Answer{
		SDP:     strings.Repeat("a", maxSDP),
		Carrier: "vp8",
		Name:    strings.Repeat("ü", 64),
		LAN:     list,
	})
	if err != nil {
		t.Fatal(err)
	}
	if a, _, err := h.openReply(wire); err != nil || !reflect.DeepEqual(a.LAN, list) {
		t.Errorf("the viewer has %+v, %v", a, err)
	}
}

// offeredTo seals an offer of viewer's, and opens it at camera.
func offeredTo(t *testing.T, camera, viewer *envelope.Pair, o Offer) (*Offerer, Received) {
	t.Helper()
	h, err := NewOfferer(viewer, nil)
	if err != nil {
		t.Fatal(err)
	}
	box := viewer.Mailbox(envelope.ToCamera, 1)
	wire, err := h.SealOffer(box, o)
	if err != nil {
		t.Fatal(err)
	}

	opened, err := camera.Open(box, wire, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return h, Received{Pair: camera, Opened: opened, Wire: wire}
}

// What is wrong with a list of circuit relays is said in words.
func TestCircuitRelaysHaveBounds(t *testing.T) {
	if err := CheckCircuitRelays(aHostList().Relays); err != nil {
		t.Errorf("eight long ones: %v", err)
	}
	err := CheckCircuitRelays([]string{"relay.example"})
	if err == nil || !strings.Contains(err.Error(), "such as /dns4/relay.example/udp/4001/quic-v1/p2p/ID") {
		t.Errorf("a name: %v", err)
	}
}
