package pairing

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/crypto/identity"
	"github.com/peephole-cam/peephole/crypto/label"
	"github.com/peephole-cam/peephole/crypto/words"
)

var update = flag.Bool("update", false, "write testdata/vectors.json anew")

const (
	vectorsFile = "testdata/vectors.json"
	wordsFile   = "../words/words.txt"
	// webVectors is what web/ makes; its "pairing" member has the shape of vectorsFile.
	webVectors = "../../web/testdata/vectors-ts.json"
)

// hexBytes is written in hex.
type hexBytes []byte

func (h hexBytes) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(h)), nil }

func (h *hexBytes) UnmarshalText(text []byte) (err error) {
	*h, err = hex.DecodeString(string(text))
	return err
}

// vectors is the file's shape. All byte strings are in hex; messages begin with their type.
type vectors struct {
	Description string        `json:"description"`
	WordList    hexBytes      `json:"word_list"` // SHA-256 of crypto/words/words.txt
	Words       []wordsVector `json:"words"`
	Codes       []codeVector  `json:"codes"`
	Cases       []vector      `json:"cases"`
}

type wordsVector struct {
	Bytes hexBytes `json:"bytes"`
	Words string   `json:"words"`
}

type codeVector struct {
	Text        string   `json:"text"`
	Error       string   `json:"error"` // "", "foreign", "torn" or "newer"; the rest only without an error
	RelayURL    string   `json:"relay_url"`
	Role        uint8    `json:"role"`
	Fingerprint hexBytes `json:"fingerprint"`
	S           hexBytes `json:"s"`
	Expiry      int64    `json:"expiry"` // Unix seconds
	Words       string   `json:"words"`
}

type deviceVector struct {
	SigningSeed hexBytes `json:"signing_seed"`
	KEMSeed     hexBytes `json:"kem_seed"`
	Bundle      hexBytes `json:"bundle"`
	Fingerprint hexBytes `json:"fingerprint"`
	Words       string   `json:"words"`
}

type mailboxVector struct {
	ReadSeed  hexBytes `json:"read_seed"`
	WriteSeed hexBytes `json:"write_seed"`
	Name      hexBytes `json:"name"`
}

type refusalVector struct {
	Reason  uint8    `json:"reason"`
	Message hexBytes `json:"message"`
}

type vector struct {
	Name           string          `json:"name"`
	Code           codeVector      `json:"code"`
	Displayer      deviceVector    `json:"displayer"`
	Scanner        deviceVector    `json:"scanner"`
	Rendezvous     hexBytes        `json:"rendezvous"` // R
	ToDisplayer    mailboxVector   `json:"to_displayer"`
	ToScanner      mailboxVector   `json:"to_scanner"`
	BundleKeyNonce hexBytes        `json:"bundle_key_nonce"`
	BundleMessage  hexBytes        `json:"bundle_message"`
	Ctx            hexBytes        `json:"ctx"`
	NonceS         hexBytes        `json:"nonce_s"`
	M1Info         hexBytes        `json:"m1_info"`
	M1Plaintext    hexBytes        `json:"m1_plaintext"`
	M1             hexBytes        `json:"m1"`
	T1             hexBytes        `json:"t1"`
	NonceD         hexBytes        `json:"nonce_d"`
	K              hexBytes        `json:"k"`
	M2Info         hexBytes        `json:"m2_info"`
	M2Plaintext    hexBytes        `json:"m2_plaintext"`
	M2             hexBytes        `json:"m2"`
	T2             hexBytes        `json:"t2"`
	Root           hexBytes        `json:"root"`
	M3KeyNonce     hexBytes        `json:"m3_key_nonce"`
	M3Plaintext    hexBytes        `json:"m3_plaintext"`
	M3             hexBytes        `json:"m3"`
	PairSecret     hexBytes        `json:"pair_secret"`
	MailboxSecret  hexBytes        `json:"mailbox_secret"`
	Refusals       []refusalVector `json:"refusals"`
}

var codeErrors = map[string]error{"foreign": ErrForeign, "torn": ErrTorn, "newer": ErrNewer}

func TestVectors(t *testing.T) {
	if *update {
		writeVectors(t)
	}
	var v vectors
	readVectors(t, vectorsFile, &v)
	checkVectors(t, v)
	checkWords(t, v)
	if len(v.Codes) < 50 || len(v.Cases) != 2 || len(v.Cases[0].Refusals) != 6 {
		t.Errorf("only %d codes and %d cases, or too few refusals", len(v.Codes), len(v.Cases))
	}
}

// TestWebVectors repeats the pairings that the web viewer's code has made.
func TestWebVectors(t *testing.T) {
	var v struct {
		Pairing vectors `json:"pairing"`
	}
	readVectors(t, webVectors, &v)
	checkVectors(t, v.Pairing)
}

func readVectors(t *testing.T, path string, v any) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, v); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

func checkVectors(t *testing.T, v vectors) {
	if len(v.Cases) == 0 {
		t.Error("no cases")
	}
	for _, c := range v.Codes {
		t.Run("code/"+c.Text, func(t *testing.T) { c.check(t) })
	}

	for _, c := range v.Cases {
		t.Run(c.Name, func(t *testing.T) {
			code := c.Code.check(t)
			c.checkBeginning(t, code)
			c.checkMessages(t, code)
			c.checkScanner(t, code)
			c.checkDisplayer(t, code)
		})
	}
}

// checkWords spells the vector's bytes with the vector's list.
func checkWords(t *testing.T, v vectors) {
	list, err := os.ReadFile(wordsFile)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(list)
	equal(t, "word list", sum[:], v.WordList)

	if len(v.Words) < 5 {
		t.Errorf("only %d spelled", len(v.Words))
	}
	for _, c := range v.Words {
		want := strings.Fields(c.Words)
		if got := words.From(c.Bytes, len(want)); !slices.Equal(got, want) {
			t.Errorf("%x is spelled %q, want %q", c.Bytes, got, c.Words)
		}
	}
}

func (v codeVector) check(t *testing.T) Code {
	c, err := Parse(v.Text)
	if !errors.Is(err, codeErrors[v.Error]) {
		t.Fatalf("%v, want %q", err, v.Error)
	}
	if v.Error != "" {
		return c
	}

	if c.RelayURL != v.RelayURL || c.Role != identity.Role(v.Role) || c.Expiry.Unix() != v.Expiry {
		t.Errorf("%s, %s, %s", c.RelayURL, c.Role, c.Expiry)
	}
	equal(t, "fingerprint", c.Fingerprint[:], v.Fingerprint)
	equal(t, "S", c.secret[:], v.S)
	if got := strings.Join(c.Words(), " "); got != v.Words {
		t.Errorf("words %q, want %q", got, v.Words)
	}

	return c
}

func (v vector) checkBeginning(t *testing.T, c Code) {
	for _, d := range []deviceVector{v.Displayer, v.Scanner} {
		fingerprint := d.private(t).Bundle().Fingerprint()
		equal(t, "bundle", d.private(t).Bundle().Bytes(), d.Bundle)
		equal(t, "fingerprint", fingerprint[:], d.Fingerprint)
		if got := strings.Join(DeviceWords(fingerprint), " "); got != d.Words {
			t.Errorf("device words %q, want %q", got, d.Words)
		}
	}

	equal(t, "rendezvous", c.key(label.PairingRendezvous, 32), v.Rendezvous)
	toDisplayer, toScanner := c.Rendezvous()
	v.ToDisplayer.check(t, toDisplayer)
	v.ToScanner.check(t, toScanner)
	equal(t, "bundle key and nonce", c.key(label.PairingBundle, 44), v.BundleKeyNonce)
	equal(t, "bundle message", newDisplayer(v.Displayer.private(t), c, time.Time{}).Hello(), v.BundleMessage)

	for _, r := range v.Refusals {
		want := map[uint8]error{1: ErrUsed, 2: ErrBound, 3: ErrClosed, 4: ErrInvalid, 5: ErrUnsaved,
			6: ErrInvalid}[r.Reason]
		if _, err := NewScanner(v.Scanner.private(t), c).Handle(r.Message); err == nil || !errors.Is(err, want) {
			t.Errorf("refusal %d: %v", r.Reason, err)
		}
	}
}

// checkMessages follows the transcript step by step.
func (v vector) checkMessages(t *testing.T, c Code) {
	displayer, scanner := v.Displayer.private(t), v.Scanner.private(t)
	x := newExchange(c, displayer.Bundle())
	equal(t, "ctx", x.ctx, v.Ctx)
	equal(t, "M1's info", x.m1Info(), v.M1Info)
	own := scanner.Bundle().Bytes()
	equal(t, "M1's plaintext", bytes.Join([][]byte{own, v.NonceS, x.m1MAC(own, v.NonceS)}, nil), v.M1Plaintext)
	opened, err := hpkeOpen(displayer, x.m1Info(), v.M1[1:], m1Size)
	equal(t, "what M1 says", opened, v.M1Plaintext, err)
	x.sentM1(own, v.M1[1:])
	equal(t, "T1", x.t1[:], v.T1)
	equal(t, "M2's info", x.m2Info(), v.M2Info)
	t2 := bytes.Join([][]byte{x.t1[:], v.NonceS, v.NonceD, v.K}, nil)
	mac := x.m2MAC(t2)
	signature := displayer.Sign(label.PairingM2Signature, append(t2, mac...))
	equal(t, "M2's plaintext", bytes.Join([][]byte{v.NonceS, v.NonceD, v.K, mac, signature}, nil), v.M2Plaintext)

	opened, err = hpkeOpen(scanner, x.m2Info(), v.M2[1:], m2Size)
	equal(t, "what M2 says", opened, v.M2Plaintext, err)
	x.sentM2(v.M2[1:], v.K)
	equal(t, "T2", x.t2[:], v.T2)
	equal(t, "root", x.root, v.Root)
	equal(t, "M3's key and nonce", label.KDF(nil, x.root, label.PairingM3, nil, 44), v.M3KeyNonce)
	equal(t, "M3's plaintext", append(x.m3MAC(), scanner.Sign(label.PairingM3Signature, x.t2[:])...), v.M3Plaintext)
	opened, err = openOnce(v.M3KeyNonce, v.M3[1:], nil)
	equal(t, "what M3 says", opened, v.M3Plaintext, err)
}

// checkScanner gives the vector's M2 to a scanner that has sent the vector's M1.
func (v vector) checkScanner(t *testing.T, c Code) {
	s := NewScanner(v.Scanner.private(t), c)
	s.nonceS = v.NonceS
	if _, err := s.Handle(v.BundleMessage); err != nil {
		t.Fatalf("bundle: %v", err)
	}
	s.m1 = v.M1
	s.exchange.sentM1(v.Scanner.Bundle, v.M1[1:])
	m3, err := s.Handle(v.M2)
	equal(t, "M3", m3, v.M3, err)
	v.checkPair(t, s.Pair(), identity.Role(v.Code.Role).Other())
}

// checkDisplayer gives the vector's M1, then its M3, to a displayer that has answered with the vector's M2.
func (v vector) checkDisplayer(t *testing.T, c Code) {
	d := newDisplayer(v.Displayer.private(t), c, time.Now().Add(time.Minute))
	if o := d.Handle(v.M1); o.Refuse != nil || len(o.Reply) != len(v.M2) {
		t.Fatalf("M1: %v", o.Refuse)
	}
	d.exchange.sentM2(v.M2[1:], v.K)
	o := d.Handle(v.M3)
	if o.Refuse != nil {
		t.Fatalf("M3: %v", o.Refuse)
	}
	v.checkPair(t, o.Pair, identity.Role(v.Code.Role))
}

func (v vector) checkPair(t *testing.T, p *envelope.Pair, role identity.Role) {
	t.Helper()
	if p == nil || p.Role != role {
		t.Fatal("no pair, or of a wrong role")
	}
	equal(t, "pair secret", p.Secret[:], v.PairSecret)
	equal(t, "mailbox secret", p.MailboxSecret[:], v.MailboxSecret)
}

func (m mailboxVector) check(t *testing.T, box envelope.Mailbox) {
	t.Helper()
	equal(t, "read seed", box.Read.Seed(), m.ReadSeed)
	equal(t, "write seed", box.Write.Seed(), m.WriteSeed)
	equal(t, "mailbox name", box.Name[:], m.Name)
	name := sha256.Sum256(append([]byte("peephole v1 mailbox name\x00"),
		append(box.Read.Public().(ed25519.PublicKey), box.Write.Public().(ed25519.PublicKey)...)...))
	equal(t, "mailbox name by hand", name[:], m.Name)
}

func (d deviceVector) private(t *testing.T) *identity.Private {
	t.Helper()
	p, err := identity.FromSeeds([32]byte(d.SigningSeed), [32]byte(d.KEMSeed))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func equal(t *testing.T, what string, got, want []byte, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is %x, want %x", what, got, want)
	}
}
