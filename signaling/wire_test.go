package signaling

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"reflect"
	"strings"
	"testing"
)

func testMailbox(b byte) Mailbox {
	key := func(b byte) ed25519.PrivateKey {
		return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{b}, ed25519.SeedSize))
	}
	return Mailbox{Read: key(b), Write: key(b + 1)}
}

func testFrames() map[string]Frame {
	mb := testMailbox(1)
	mb.Ticket = []byte(PairingTicket)
	open := SignOpen("https://relay.example", [32]byte{9}, mb, Read)
	open.ID = 7
	name := mb.Name()

	return map[string]Frame{
		"challenge": Challenge{Nonce: [32]byte{1, 2, 3}, Time: 1 << 40},
		"open":      open,
		"post":      Post{ID: 1, Name: name, TTL: MaxTTL, Body: []byte("body")},
		"ack":       Ack{Name: name, Seq: 1<<64 - 1},
		"grant":     GrantRequest{ID: 2, Name: name},
		"close":     Close{Name: name},
		"reject":    Reject{Name: name, Seq: 1<<64 - 2},
		"revoke":    Revoke{ID: 9, Name: name},
		"ok":        OK{ID: 3},
		"error":     Refused{ID: 4, Code: CodeQuota, Text: "quota"},
		"deliver":   Deliver{Name: name, Seq: 5, Body: []byte{0}},
		"granted":   Granted{ID: 6, JSON: []byte("{}")},
		"closed":    Closed{Name: name, Code: CodeReplaced, Text: "replaced"},
	}
}

func TestFramesRoundTrip(t *testing.T) {
	for name, f := range testFrames() {
		t.Run(name, func(t *testing.T) {
			got, err := Parse(Append(nil, f))
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, f) {
				t.Errorf("got %#v, want %#v", got, f)
			}
		})
	}
}

// The bytes are the protocol's: these were written by hand from doc/protocol.md.
func TestFrameBytesAreThoseOfTheProtocol(t *testing.T) {
	name := Name(bytes.Repeat([]byte{0xaa}, 32))
	as := strings.Repeat("aa", 32)
	for _, tt := range []struct {
		name string
		f    Frame
		want string
	}{
		{"challenge", Challenge{Nonce: [32]byte(name), Time: 0x0102}, "01" + as + "0000000000000102"},
		{"open", Open{
			ID:        1,
			Access:    Write,
			ReadKey:   name[:],
			WriteKey:  name[:],
			Signature: append(name[:], name[:]...),
			Ticket:    []byte("t"),
		},
			"10" + "00000001" + "02" + as + as + as + as + "0001" + "74"},
		{"post", Post{ID: 2, Name: name, TTL: 60, Body: []byte("b")}, "11" + "00000002" + as + "0000003c" + "62"},
		{"ack", Ack{Name: name, Seq: 3}, "12" + as + "0000000000000003"},
		{"grant", GrantRequest{ID: 4, Name: name}, "13" + "00000004" + as},
		{"grant elsewhere", GrantRequest{ID: 4, Name: name, Region: "fra"}, "13" + "00000004" + as + "667261"},
		{"close", Close{Name: name}, "14" + as},
		{"reject", Reject{Name: name, Seq: 9}, "15" + as + "0000000000000009"},
		{"revoke", Revoke{ID: 10, Name: name}, "16" + "0000000a" + as},
		{"ok", OK{ID: 5}, "20" + "00000005"},
		{"error", Refused{ID: 6, Code: CodeNotAdmitted, Text: "no"}, "21" + "00000006" + "0194" + "0002" + "6e6f"},
		{"deliver", Deliver{Name: name, Seq: 7, Body: []byte("b")}, "22" + as + "0000000000000007" + "62"},
		{"granted", Granted{ID: 8, JSON: []byte("{}")}, "23" + "00000008" + "7b7d"},
		{"closed", Closed{Name: name, Code: CodeReplaced, Text: "no"}, "24" + as + "0199" + "0002" + "6e6f"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := hex.EncodeToString(Append(nil, tt.f)); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestParseRefusesWhatIsNoFrame(t *testing.T) {
	for name, f := range testFrames() {
		b := Append(nil, f)
		if _, err := Parse(b[:1]); !errors.Is(err, ErrFrame) && name != "granted" {
			t.Errorf("%s with nothing but its type: %v", name, err)
		}
		switch name {
		case "post", "deliver", "granted": // they end with a body of any length
			continue
		}

		if _, err := Parse(b[:len(b)-1]); !errors.Is(err, ErrFrame) {
			t.Errorf("%s, cut short: %v", name, err)
		}
		if _, err := Parse(append(b, 0)); !errors.Is(err, ErrFrame) {
			t.Errorf("%s with one more byte: %v", name, err)
		}
	}

	name := testMailbox(1).Name()
	for what, b := range map[string][]byte{
		"nothing":         nil,
		"unknown type":    {0x99},
		"too long":        Append(nil, Deliver{Name: name, Body: make([]byte, MaxFrame)}),
		"post of nothing": Append(nil, Post{Name: name}),
		"ttl too long":    Append(nil, Post{Name: name, TTL: MaxTTL + 1, Body: []byte{1}}),
		"empty delivery":  Append(nil, Deliver{Name: name}),
		"long delivery":   Append(nil, Deliver{Name: name, Body: make([]byte, MaxBody+1)}),
		"unknown access": Append(nil, Open{
			Access:    3,
			ReadKey:   name[:],
			WriteKey:  name[:],
			Signature: make([]byte, 64),
		}),
		"short granted id": {typeGranted, 0},
	} {
		if _, err := Parse(b); !errors.Is(err, ErrFrame) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, frame := range testFrames() {
		f.Add(Append(nil, frame))
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		frame, err := Parse(b)
		if err != nil {
			if !errors.Is(err, ErrFrame) {
				t.Errorf("an error that is not ErrFrame: %v", err)
			}
			return
		}

		if again := Append(nil, frame); !bytes.Equal(again, b) {
			t.Errorf("read %x, and wrote it back as %x", b, again)
		}
	})
}

func TestOpenIsBoundToItsRelayAndConnection(t *testing.T) {
	mb, nonce := testMailbox(1), [32]byte{1}
	const relay = "https://relay.example"
	for _, a := range []Access{Read, Write} {
		if f := SignOpen(relay, nonce, mb, a); !f.Verify(relay, nonce) {
			t.Errorf("access %d does not verify", a)
		}
	}

	for name, change := range map[string]func(f *Open, relay *string, nonce *[32]byte){
		"another relay":     func(_ *Open, relay *string, _ *[32]byte) { *relay = "https://relay.examplf" },
		"another challenge": func(_ *Open, _ *string, nonce *[32]byte) { nonce[31]++ },
		"the other access":  func(f *Open, _ *string, _ *[32]byte) { f.Access = Write },
		"another read key": func(f *Open, _ *string, _ *[32]byte) {
			f.ReadKey = testMailbox(3).Read.Public().(ed25519.PublicKey)
		},
		"another write key": func(f *Open, _ *string, _ *[32]byte) {
			f.WriteKey = testMailbox(3).Read.Public().(ed25519.PublicKey)
		},
		"swapped keys":       func(f *Open, _ *string, _ *[32]byte) { f.ReadKey, f.WriteKey = f.WriteKey, f.ReadKey },
		"a broken signature": func(f *Open, _ *string, _ *[32]byte) { f.Signature[0] ^= 1 },
	} {
		f, url, n := SignOpen(relay, nonce, mb, Read), relay, nonce
		change(&f, &url, &n)
		if f.Verify(url, n) {
			t.Errorf("%s verifies", name)
		}
	}
}
