package identity

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
)

// FuzzParseBundle reads genuine bundles with a byte changed, truncated or extended, and anything else. What it reads is
// written the same way, and belongs to another device if it differs.
func FuzzParseBundle(f *testing.F) {
	p, err := FromSeeds([32]byte{1}, [32]byte{2})
	if err != nil {
		f.Fatal(err)
	}
	whole := p.Bundle().Bytes()
	f.Add(uint16(0), uint16(0), byte(0), []byte{})
	f.Add(uint16(0), uint16(0), byte(3), []byte{})
	f.Add(uint16(33), uint16(0), byte(0xff), []byte{})
	f.Add(uint16(1), uint16(0), byte(1), []byte{})
	f.Add(uint16(0), uint16(1), byte(0), []byte{})
	f.Add(uint16(0), uint16(0), byte(0), []byte{0})

	f.Fuzz(func(t *testing.T, at, cut uint16, xor byte, tail []byte) {
		b := bytes.Clone(whole)
		b[int(at)%len(b)] ^= xor
		b = append(b[:len(b)-min(int(cut), len(b))], tail...)
		bundle, err := ParseBundle(b)
		if err != nil {
			if !errors.Is(err, ErrBundle) || !bundle.IsZero() {
				t.Errorf("%v", err)
			}
			return
		}

		if !bytes.Equal(bundle.Bytes(), b) {
			t.Error("a bundle has two spellings")
		}
		if same := bundle.Fingerprint() == p.Bundle().Fingerprint(); same != bytes.Equal(b, whole) {
			t.Errorf("one fingerprint for two bundles: %t", same)
		}
	})
}

// FuzzParseFile: a key file has one spelling.
func FuzzParseFile(f *testing.F) {
	whole := filePrefix + "1 " + base64.RawURLEncoding.EncodeToString(bytes.Repeat([]byte{7}, 64)) + "\n"
	f.Add(whole)
	f.Add(strings.Replace(whole, "1", "2", 1))
	f.Fuzz(func(t *testing.T, text string) {
		seeds, err := parseFile(text)
		if err != nil {
			if !errors.Is(err, ErrKeyFile) && !errors.Is(err, ErrKeyFileNewer) || seeds != [64]byte{} {
				t.Errorf("%v, and a key is returned", err)
			}
			return
		}

		if text != filePrefix+"1 "+base64.RawURLEncoding.EncodeToString(seeds[:])+"\n" {
			t.Error("a key file has two spellings")
		}
	})
}
