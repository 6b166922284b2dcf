package identity

import (
	"bytes"
	"crypto/hpke"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/peephole-cam/peephole/crypto/label"
)

func generate(t testing.TB) *Private {
	t.Helper()
	p, err := Generate()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestBundleReadsAsItWasWritten(t *testing.T) {
	p := generate(t)
	b := p.Bundle()
	got, err := ParseBundle(b.Bytes())
	if err != nil {
		t.Fatal(err)
	}

	if !bytes.Equal(got.Bytes(), b.Bytes()) || got.Fingerprint() != b.Fingerprint() || got.IsZero() ||
		!(Bundle{}).IsZero() {
		t.Error("the bundle did not come back")
	}
	if want := label.Hash(label.IdentityBundle, b.Bytes()); b.Fingerprint() != want {
		t.Errorf("fingerprint %s", b.Fingerprint())
	}

	if b.Fingerprint() == generate(t).Bundle().Fingerprint() {
		t.Error("two devices have one fingerprint")
	}
	whole := b.Fingerprint()
	if text, err := hex.DecodeString(whole.String()); err != nil || !bytes.Equal(text, whole[:]) {
		t.Errorf("fingerprint %x is spelled %s", whole[:], whole)
	}

	sig := p.Sign(label.Ticket, []byte("text"))
	if !got.Verify(label.Ticket, []byte("text"), sig) || got.Verify(label.MailboxOpen, []byte("text"), sig) {
		t.Error("signature")
	}
}

func TestParseBundleRefuses(t *testing.T) {
	whole := generate(t).Bundle().Bytes()
	edit := func(f func(b []byte) []byte) []byte { return f(bytes.Clone(whole)) }
	for name, b := range map[string][]byte{
		"nothing":   nil,
		"short":     whole[:len(whole)-1],
		"long":      append(bytes.Clone(whole), 0),
		"version 0": edit(func(b []byte) []byte { b[0] = 0; return b }),
		"version 2": edit(func(b []byte) []byte { b[0] = 2; return b }),
		// A coefficient of 0xfff is above ML-KEM's modulus (FIPS 203, section 7.2).
		"ML-KEM key out of range": edit(func(b []byte) []byte { b[33], b[34] = 0xff, 0xff; return b }),
	} {
		if _, err := ParseBundle(b); !errors.Is(err, ErrBundle) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestIdentityPassesTheXWingVectors passes the vectors of draft-ietf-hpke-pq for KEM 0x647a through an identity's key.
func TestIdentityPassesTheXWingVectors(t *testing.T) {
	text, err := os.ReadFile("testdata/hpke-xwing.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct {
		KDF         uint16 `json:"kdf_id"`
		AEAD        uint16 `json:"aead_id"`
		Info        hexBytes
		SkRm        hexBytes `json:"skRm"`
		PkRm        hexBytes `json:"pkRm"`
		Enc         hexBytes
		Encryptions []struct{ AAD, CT, PT hexBytes }
		Exports     []struct {
			Context hexBytes `json:"exporter_context"`
			L       int
			Value   hexBytes `json:"exported_value"`
		}
	}

	if err := json.Unmarshal(text, &vectors); err != nil || len(vectors) != 2 {
		t.Fatalf("%d vectors: %v", len(vectors), err)
	}
	for _, v := range vectors {
		p, err := FromSeeds([32]byte{}, [32]byte(v.SkRm))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(p.Bundle().KEM().Bytes(), v.PkRm) {
			t.Error("public key differs")
		}

		kdf, err1 := hpke.NewKDF(v.KDF)
		aead, err2 := hpke.NewAEAD(v.AEAD)
		r, err3 := hpke.NewRecipient(v.Enc, p.KEM(), kdf, aead, v.Info)
		if err := errors.Join(err1, err2, err3); err != nil {
			t.Fatal(err)
		}

		for i, e := range v.Encryptions {
			if got, err := r.Open(e.AAD, e.CT); err != nil || !bytes.Equal(got, e.PT) {
				t.Errorf("encryption %d: %x, %v", i, got, err)
			}
		}

		for i, e := range v.Exports {
			if got, err := r.Export(string(e.Context), e.L); err != nil || !bytes.Equal(got, e.Value) {
				t.Errorf("export %d: %x, %v", i, got, err)
			}
		}

		if len(v.Encryptions) == 0 || len(v.Exports) == 0 {
			t.Error("a vector without encryptions or exports")
		}
	}
}

// hexBytes is written in hex.
type hexBytes []byte

func (h *hexBytes) UnmarshalText(text []byte) (err error) {
	*h, err = hex.DecodeString(string(text))
	return err
}

// TestNoPrintableForm looks for the key in everything that fmt, slog and JSON make of it.
func TestNoPrintableForm(t *testing.T) {
	p := generate(t)
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "key", p, "value", *p)
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "key", p, "value", *p)
	b, err := json.Marshal([]any{p, *p})
	if err != nil {
		t.Fatal(err)
	}

	text := log.String() + string(b)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%X", "%q", "%d"} {
		text += fmt.Sprintf(verb, p) + fmt.Sprintf(verb, *p) + fmt.Sprintf(verb, struct{ P *Private }{p}) +
			fmt.Sprintf(verb, []any{*p})
	}

	text = strings.ToLower(text)
	seed := p.seeds[:4]
	for _, form := range []string{hex.EncodeToString(seed), fmt.Sprint(seed)[1:],
		strings.Join(strings.Fields(fmt.Sprintf("% #x", seed)), ", ")} {
		if strings.Contains(text, strings.TrimSuffix(form, "]")) {
			t.Errorf("the key was printed: %s", form)
		}
	}

	if !strings.Contains(text, redacted) {
		t.Error("not redacted")
	}
}

// TestRolesHaveTheirNumbers: existing codes, envelopes and mailboxes contain them.
func TestRolesHaveTheirNumbers(t *testing.T) {
	if Camera != 1 || Viewer != 2 {
		t.Errorf("a camera is %d and a viewer %d, want 1 and 2", uint8(Camera), uint8(Viewer))
	}
}

func TestRolesAreTwo(t *testing.T) {
	if Camera.Other() != Viewer || Viewer.Other() != Camera || !Camera.Valid() || !Viewer.Valid() || Role(0).Valid() ||
		Role(3).Valid() {
		t.Error("roles")
	}
	if got := fmt.Sprint(Camera, Viewer, Role(7)); got != "camera viewer role(7)" {
		t.Error(got)
	}
}
