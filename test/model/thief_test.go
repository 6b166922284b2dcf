package model

import (
	"bytes"
	"crypto/hpke"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"slices"
	"strings"

	"pgregory.net/rapid"

	"github.com/peephole-cam/peephole/crypto/identity"
	"github.com/peephole-cam/peephole/crypto/label"
)

// thief is somebody who photographed a code. It knows the code's secret and everything public, and writes what only the
// two ends should, following doc/protocol.md, section 3.
type thief struct {
	code        code
	secret      []byte
	fingerprint []byte
	ctx         []byte
	displayer   identity.Bundle
	as          *device // whose bundle it shows, and whose signatures it has
}

func (w *world) forge(t *rapid.T) {
	if len(w.codes) == 0 {
		return
	}
	c := w.drawCode(t)
	relay, encoded, _ := strings.Cut(c.URI(), "/pair#")
	payload, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil {
		t.Fatal(err)
	}

	f := thief{
		code:        c,
		fingerprint: payload[2:34],
		secret:      payload[34:50],
		displayer:   w.devices[c.shown.device-1].self.Bundle(),
		as:          w.drawDevice(t),
	}

	f.ctx = binary.BigEndian.AppendUint16([]byte{1, byte(c.shown.end), byte(c.shown.end.other())}, uint16(len(relay)))
	f.ctx = slices.Concat(f.ctx, []byte(relay), f.displayer.Bytes())
	w.happened["forged"]++
	switch one(t, "as", "hello", "M1", "M2") {
	case "hello":
		// The claim of the device that displays the code is true, whoever makes it.
		w.posts = append(w.posts, post{word{
			kind:    hello,
			genuine: f.as.number == c.shown.device,
			code:    c.shown.code,
		}, f.hello()})
	case "M1":
		// It will bind the code. Then nobody can pair with it, not even the thief, who cannot read M2.
		a := &attempt{number: len(w.attempts) + 1, device: f.as.number, code: c.shown.code, of: c.shown.device}
		w.attempts = append(w.attempts, a)
		w.posts = append(w.posts, post{word{kind: m1, genuine: true, code: c.shown.code, attempt: a.number}, f.m1(t)})
	case "M2":
		if len(w.scans) > 0 {
			w.forgeReply(t, f, w.scans[index(t, "scanner", len(w.scans))])
		}
	}
}

// forgeReply gives a scanner that has read the thief's code an M2 in reply to its M1.
func (w *world) forgeReply(t *rapid.T, f thief, s *scan) {
	for _, p := range w.posts {
		if p.kind == m1 && p.genuine && p.attempt == s.number && p.word.code == f.code.shown.code {
			w.toScanner(t, s, post{word{kind: m2}, f.m2(t, s.device.self.Bundle(), p.bytes[1:])})
		}
	}
}

func (f *thief) key(l label.Label, n int) []byte {
	return label.KDF(nil, f.secret, l, f.fingerprint, n)
}

// hello returns the display's bundle message, with the thief's bundle.
func (f *thief) hello() []byte {
	key := f.key("pairing bundle", 44)
	return label.NewAEAD(key[:32]).Seal([]byte{hello}, key[32:], f.as.self.Bundle().Bytes(), []byte{hello})
}

// m1 returns a scanner's M1, with the thief's bundle.
func (f *thief) m1(t *rapid.T) []byte {
	bundle, nonce, h := f.as.self.Bundle().Bytes(), bytes.Repeat([]byte{7}, 32), sha256.Sum256(f.ctx)
	mac := label.MAC(f.key("pairing m1 mac", 32), "pairing m1", f.ctx, bundle, nonce)
	return sealTo(t, m1, f.displayer, label.PairingM1.Info(h[:]), bytes.Join([][]byte{bundle, nonce, mac}, nil))
}

// m2 returns the display's M2 for a scanner's M1, with the thief's k and signature. The thief cannot know the scanner's
// nonce.
func (f *thief) m2(t *rapid.T, scanner identity.Bundle, m1Body []byte) []byte {
	t1 := sha256.Sum256(slices.Concat(f.ctx, scanner.Bytes(), binary.BigEndian.AppendUint16(nil, uint16(len(m1Body))),
		m1Body))
	nonces := bytes.Repeat([]byte{7}, 96)
	signed := slices.Concat(t1[:], nonces)
	mac := label.MAC(f.key("pairing m2 mac", 32), "pairing m2", signed)
	signature := f.as.self.Sign("pairing m2 signature", append(signed, mac...))
	return sealTo(t, m2, scanner, label.PairingM2.Info(t1[:]), slices.Concat(nonces, mac, signature))
}

func sealTo(t *rapid.T, kind byte, to identity.Bundle, info, plaintext []byte) []byte {
	enc, sender, err := hpke.NewSender(to.KEM(), hpke.HKDFSHA256(), hpke.AES256GCM(), info)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := sender.Seal(nil, plaintext)
	if err != nil {
		t.Fatal(err)
	}
	return slices.Concat([]byte{kind}, enc, sealed)
}
