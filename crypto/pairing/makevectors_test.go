package pairing

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"testing/cryptotest"
	"time"

	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/crypto/identity"
	"github.com/peephole-cam/peephole/crypto/label"
	"github.com/peephole-cam/peephole/crypto/words"
)

// writeVectors makes the vectors again, with the same randomness each time, so that only real changes show.
func writeVectors(t *testing.T) {
	cryptotest.SetGlobalRandom(t, 1)
	v := vectors{Description: "Pairing codes that both ends must read alike, and whole pairings of which both ends " +
		"must derive every value: doc/protocol.md, section 3. Byte strings are hex. Messages begin with their type; " +
		"M1 and M2 hold HPKE encapsulations, so the other side opens them; everything else comes out the same. " +
		"Written by: go test ./crypto/pairing -update"}
	expiry := time.Unix(1_795_000_600, 0)

	for _, c := range []struct {
		name, relay string
		role        identity.Role
	}{
		{"a camera displays", "https://relay.example", identity.Camera},
		{"a viewer displays", "http://127.0.0.1:8443", identity.Viewer},
	} {
		v.Cases = append(v.Cases, runVector(t, c.name, c.relay, c.role, expiry))
	}

	v.Codes = codeVectors(t, v.Cases[0].Code, expiry)
	v.WordList, v.Words = wordVectors(t)
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	if err := e.Encode(v); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(vectorsFile, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

func runVector(t *testing.T, name, relay string, role identity.Role, expiry time.Time) vector {
	v := vector{Name: name, Displayer: newDevice(t), Scanner: newDevice(t)}
	displayer, scanner := v.Displayer.private(t), v.Scanner.private(t)
	code, err := NewCode(relay, role, displayer.Bundle(), expiry)
	if err != nil {
		t.Fatal(err)
	}

	d, s := newDisplayer(displayer, code, time.Now().Add(time.Hour)), NewScanner(scanner, code)
	v.Code, v.NonceS = describe(code), s.nonceS
	v.Rendezvous = code.key(label.PairingRendezvous, 32)
	toDisplayer, toScanner := code.Rendezvous()
	v.ToDisplayer, v.ToScanner = describeMailbox(toDisplayer), describeMailbox(toScanner)
	v.BundleKeyNonce, v.BundleMessage = code.key(label.PairingBundle, 44), d.Hello()
	if v.M1, err = s.Handle(v.BundleMessage); err != nil {
		t.Fatal(err)
	}

	v.Ctx, v.M1Info = s.exchange.ctx, s.exchange.m1Info()
	v.M1Plaintext, _ = hpkeOpen(displayer, v.M1Info, v.M1[1:], m1Size)
	v.M2 = d.Handle(v.M1).Reply
	v.M2Info = d.exchange.m2Info()
	v.M2Plaintext, _ = hpkeOpen(scanner, v.M2Info, v.M2[1:], m2Size)
	v.NonceD, v.K = v.M2Plaintext[32:64], v.M2Plaintext[64:96]
	if v.M3, err = s.Handle(v.M2); err != nil {
		t.Fatal(err)
	}

	v.T1, v.T2, v.Root = d.exchange.t1[:], d.exchange.t2[:], d.exchange.root
	v.M3KeyNonce = label.KDF(nil, v.Root, label.PairingM3, nil, 44)
	v.M3Plaintext, _ = openOnce(v.M3KeyNonce, v.M3[1:], nil)
	pair := d.Handle(v.M3).Pair
	v.PairSecret, v.MailboxSecret = pair.Secret[:], pair.MailboxSecret[:]
	for reason := byte(1); reason <= 6; reason++ { // nobody knows the last one
		v.Refusals = append(v.Refusals, refusalVector{reason, code.refusal(reason)})
	}

	return v
}

// wordVectors returns the list's hash, and spells one to eleven words: of bytes that end with the last word, and of
// longer ones.
func wordVectors(t *testing.T) (list hexBytes, spelled []wordsVector) {
	text, err := os.ReadFile(wordsFile)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(text)
	for _, c := range []struct {
		bytes []byte
		n     int
	}{
		{[]byte{0, 0}, 1},
		{[]byte{0xff, 0xff}, 1},
		{[]byte{0, 0x20, 0, 0, 0x80}, 3},
		{bytes.Repeat([]byte{0xff}, 9), 6},
		{sum[:9], 6},
		{sum[:], 3},
		{sum[:16], 11},
	} {
		spelled = append(spelled, wordsVector{c.bytes, strings.Join(words.From(c.bytes, c.n), " ")})
	}

	return sum[:], spelled
}

// codeVectors returns codes for every kind of relay URL, and damaged codes with their errors.
func codeVectors(t *testing.T, whole codeVector, expiry time.Time) []codeVector {
	var out []codeVector
	for _, relay := range []string{
		"https://relay.example", "https://relay.example:8443", "https://192.0.2.1", "https://[2001:db8::1]:444",
		"http://localhost:8080", "http://127.0.0.1", "http://[::1]:1", "https://a-b.xn--bcher-kva.example",
	} {
		for _, role := range []identity.Role{identity.Camera, identity.Viewer} {
			code, err := NewCode(relay, role, newDevice(t).private(t).Bundle(), expiry)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, describe(code))
		}
	}

	text := whole.Text
	relay, encoded, _ := strings.Cut(text, path)
	// spelled returns a code with a right checksum, for a URL or a payload that NewCode would refuse.
	spelled := func(relay string, edit func(b []byte) []byte) string {
		b, err := base64.RawURLEncoding.DecodeString(encoded)
		if err != nil {
			t.Fatal(err)
		}
		b = edit(b[:len(b)-checksumSize])
		return relay + path + base64.RawURLEncoding.EncodeToString(append(b, checksum(relay, b)...))
	}

	same := func(b []byte) []byte { return b }
	at := func(i int, x byte) func([]byte) []byte { return func(b []byte) []byte { b[i] = x; return b } }
	for _, c := range [][2]string{
		{"", "foreign"}, {"hello", "foreign"}, {"https://shop.example/", "foreign"}, {"WIFI:S:home;;", "foreign"},
		{"https://relay.example", "foreign"}, {text + strings.Repeat("A", MaxCode), "foreign"},
		{relay + "/pair", "torn"}, {relay + path, "torn"},
		{text[:len(text)-1], "torn"}, {text[:len(text)-20], "torn"}, {text + "A", "torn"}, {text + "=", "torn"},
		{relay + path + encoded[1:], "torn"}, {relay + path + encoded[:40] + "\n" + encoded[40:], "torn"},
		{relay + path + strings.Replace(encoded, encoded[20:21], other(encoded[20]), 1), "torn"},
		{strings.Replace(text, "relay", "relax", 1), "torn"}, {strings.Replace(text, "relay", "Relay", 1), "torn"},
		{spelled("http://relay.example", same), "torn"}, {spelled("https://relay.example:443", same), "torn"},
		{spelled("https://relay.example/", same), "torn"}, {spelled("https://me@relay.example", same), "torn"},
		{spelled("https://RELAY.example", same), "torn"}, {spelled("https://relay.example:0443", same), "torn"},
		{spelled("https://127.1", same), "torn"}, {spelled("https://bücher.example", same), "torn"},
		{spelled("http://127.0.0.1:80", same), "torn"}, {spelled("https://[2001:db8:0::1]", same), "torn"},
		{spelled("wss://relay.example", same), "torn"}, {spelled("https://", same), "torn"},
		{spelled("https://relay.example.", same), "torn"}, {spelled("https://[::ffff:c000:201]", same), "torn"},
		{spelled("https://relay.example:0", same), "torn"}, {spelled("https://relay!.example", same), "torn"},
		{spelled("https://relay.1st", same), "torn"}, {spelled("https://relay..example", same), "torn"},
		{spelled(relay, at(1, 0)), "torn"}, {spelled(relay, at(1, 3)), "torn"}, {spelled(relay, at(0, 0)), "torn"},
		{spelled(relay, func(b []byte) []byte { return append(b, 0) }), "torn"},
		{spelled(relay, at(0, 2)), "newer"}, {spelled(relay, func([]byte) []byte { return []byte{2} }), "newer"},
	} {
		out = append(out, codeVector{Text: c[0], Error: c[1]})
	}

	spaced := whole
	spaced.Text = " \t" + text + "\r\n"
	return append(out, spaced)
}

func other(c byte) string {
	if c == 'A' {
		return "B"
	}
	return "A"
}

func describe(c Code) codeVector {
	return codeVector{
		Text:        c.URI(),
		RelayURL:    c.RelayURL,
		Role:        uint8(c.Role),
		Fingerprint: c.Fingerprint[:],
		S:           bytes.Clone(c.secret[:]),
		Expiry:      c.Expiry.Unix(),
		Words:       strings.Join(c.Words(), " "),
	}
}

func describeMailbox(m envelope.Mailbox) mailboxVector {
	return mailboxVector{ReadSeed: m.Read.Seed(), WriteSeed: m.Write.Seed(), Name: m.Name[:]}
}

func newDevice(t *testing.T) deviceVector {
	d := deviceVector{SigningSeed: random(32), KEMSeed: random(32)}
	fingerprint := d.private(t).Bundle().Fingerprint()
	d.Bundle, d.Fingerprint = d.private(t).Bundle().Bytes(), fingerprint[:]
	d.Words = strings.Join(DeviceWords(fingerprint), " ")
	return d
}
