package pairing

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/crypto/identity"
)

// fuzzVectors are the committed pairings: every fuzz worker has the same.
func fuzzVectors(f *testing.F) vectors {
	f.Helper()
	b, err := os.ReadFile(vectorsFile)
	if err != nil {
		f.Fatal(err)
	}
	var v vectors
	if err := json.Unmarshal(b, &v); err != nil {
		f.Fatal(err)
	}
	return v
}

func (d deviceVector) fuzzPrivate(f *testing.F) *identity.Private {
	f.Helper()
	p, err := identity.FromSeeds([32]byte(d.SigningSeed), [32]byte(d.KEMSeed))
	if err != nil {
		f.Fatal(err)
	}
	return p
}

// stage is how far a pairing has come when a message arrives.
const (
	fresh    = iota // the code is shown; the scanner has read it
	scanned         // the scanner has sent M1, the displayer M2
	complete        // M3 has made the pair
	stages
)

// FuzzHandle gives each end of a committed pairing, at every stage, one of the pairing's messages with a byte changed,
// truncated or extended, and arbitrary bytes. An end goes on only for the right message, byte for byte.
func FuzzHandle(f *testing.F) {
	v := fuzzVectors(f).Cases[0]
	code, err := Parse(v.Code.Text)
	if err != nil {
		f.Fatal(err)
	}
	displayer, scanner := v.Displayer.fuzzPrivate(f), v.Scanner.fuzzPrivate(f)
	messages := [][]byte{v.BundleMessage, v.M1, v.M2, v.M3, v.Refusals[0].Message}
	for n := range messages {
		f.Add(byte(n), byte(n), uint16(0), uint16(0), byte(0), []byte{})
		f.Add(byte(n), byte(n), uint16(1), uint16(0), byte(1), []byte{})
	}

	f.Add(byte(0), byte(fresh), uint16(0), uint16(65535), byte(0), []byte{typeM3})
	f.Fuzz(func(t *testing.T, which, stage byte, at, cut uint16, xor byte, tail []byte) {
		stage %= stages
		whole := messages[int(which)%len(messages)]
		message := bytes.Clone(whole)
		message[int(at)%len(message)] ^= xor
		message = append(message[:len(message)-min(int(cut), len(message))], tail...)
		is := func(m []byte) bool { return bytes.Equal(message, m) }

		d := newDisplayer(displayer, code, time.Now().Add(time.Hour))
		s := NewScanner(scanner, code)
		if stage >= scanned {
			begun(d, s, v)
		}

		if stage >= complete && (d.Handle(v.M3).Pair == nil || !told(s, v)) {
			t.Fatal("the committed pairing does not pair")
		}
		before := s.Pair() != nil
		o := d.Handle(message)
		if (o.Pair != nil) != (stage == scanned && is(v.M3)) {
			t.Errorf("stage %d: displayer pairs: %t", stage, o.Pair != nil)
		}

		if replies := o.Reply != nil && o.Reply[0] == typeM2; replies != is(v.M1) {
			t.Errorf("stage %d: displayer answers with M2: %t (%v)", stage, replies, o.Refuse)
		}
		reply, err := s.Handle(message)
		if (s.Pair() != nil) != (before || stage == scanned && is(v.M2)) {
			t.Errorf("stage %d: scanner pairs: %t (%v)", stage, s.Pair() != nil, err)
		}

		if stage == fresh && (reply != nil) != is(v.BundleMessage) {
			t.Errorf("scanner begins: %t (%v)", reply != nil, err)
		}
	})
}

// begun returns both ends after M1 and M2, as in the committed pairing.
func begun(d *Displayer, s *Scanner, v vector) {
	own := s.self.Bundle().Bytes()
	x := newExchange(s.exchange.code, d.self.Bundle())
	x.sentM1(own, v.M1[1:])
	s.displayer, s.exchange, s.nonceS, s.m1 = d.self.Bundle(), x, v.NonceS, v.M1
	d.exchange = x
	d.exchange.sentM2(v.M2[1:], v.K)
	d.boundM1, d.scanner, d.m2 = v.M1[1:], s.self.Bundle(), v.M2
}

func told(s *Scanner, v vector) bool {
	_, err := s.Handle(v.M2)
	return err == nil && s.Pair() != nil
}

// FuzzParse: a code has one spelling, and anything else has a sentence for the person.
func FuzzParse(f *testing.F) {
	for _, c := range fuzzVectors(f).Codes {
		f.Add(c.Text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := Parse(text)
		if err == nil {
			if c.URI() != strings.TrimSpace(text) || len(c.URI()) > MaxCode {
				t.Error("a code has two spellings, or is too long")
			}
			return
		}

		if !errors.Is(err, ErrForeign) && !errors.Is(err, ErrTorn) && !errors.Is(err, ErrNewer) {
			t.Errorf("an error without a sentence: %v", err)
		}
	})
}

// FuzzPairFile: a pair file is read in one way, belongs to this device and role, and is written as it was read.
func FuzzPairFile(f *testing.F) {
	self, err := identity.FromSeeds([32]byte{1}, [32]byte{2})
	if err != nil {
		f.Fatal(err)
	}
	other, err := identity.FromSeeds([32]byte{3}, [32]byte{4})
	if err != nil {
		f.Fatal(err)
	}

	s := NewStore(f.TempDir(), self, identity.Camera)
	whole, err := s.encode(Record{
		Pair:     &envelope.Pair{Self: self, Role: identity.Camera, Peer: other.Bundle()},
		RelayURL: relay,
		Name:     "front door",
		PairedAt: time.Unix(1, 0),
	})
	if err != nil {
		f.Fatal(err)
	}

	f.Add("", "", []byte("{}"))
	f.Add("", "", []byte(`{"version":2}`))
	f.Add(`"front door"`, `"\u0000"`, []byte{})
	f.Add(`"camera"`, `"viewer"`, []byte{})
	f.Add(`"version": 1`, `"version": 2`, []byte{})
	f.Add(`relay.example`, `relay.example/x`, []byte{})
	f.Add(`1970-01-01T00:00:01Z`, `1970-01-01T00:00:01+01:00`, []byte{})

	f.Fuzz(func(t *testing.T, old, changed string, text []byte) {
		if len(text) == 0 { // a whole file with something changed
			text = []byte(strings.Replace(string(whole), old, changed, 1))
		}
		r, err := s.parse(text)
		if err != nil {
			if r.Pair != nil || !errors.Is(err, ErrPairFile) && !errors.Is(err, ErrPairFileNewer) {
				t.Errorf("%+v, %v", r, err)
			}
			return
		}

		if ours := bytes.Contains(text, []byte(`"`+s.selfText()+`"`)) &&
			bytes.Contains(text, []byte(`"camera"`)); !ours || r.Pair.Self != self || r.Pair.Role != identity.Camera {
			t.Error("a pair of another device or role")
		}
		again, err := s.encode(r)
		if err != nil {
			return // JSON cannot represent this time
		}

		r2, err := s.parse(again)
		r.PairedAt, r2.PairedAt = r.PairedAt.UTC().Truncate(time.Millisecond), r2.PairedAt.UTC()
		if err != nil || !reflect.DeepEqual(r, r2) {
			t.Errorf("%+v was written, and read back as %+v, %v", r, r2, err)
		}
	})
}
