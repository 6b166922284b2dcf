package label

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"strconv"
	"strings"
	"testing"
)

// wycheproof is the part of a Wycheproof file that the tests use.
type wycheproof[G any] struct {
	NumberOfTests int `json:"numberOfTests"`
	TestGroups    []G `json:"testGroups"`
}

// hexBytes is written in hex.
type hexBytes []byte

func (h *hexBytes) UnmarshalText(text []byte) (err error) {
	*h, err = hex.DecodeString(string(text))
	return err
}

func read[G any](t *testing.T, file string) wycheproof[G] {
	t.Helper()
	b, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	var w wycheproof[G]
	if err := json.Unmarshal(b, &w); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return w
}

func TestWycheproofHKDF(t *testing.T) {
	type group struct {
		Tests []struct {
			ID              int `json:"tcId"`
			IKM, Salt, Info hexBytes
			Size            int
			OKM             hexBytes
			Result          string
		}
	}

	n := 0
	w := read[group](t, "hkdf_sha256_test.json")
	for _, g := range w.TestGroups {
		for _, c := range g.Tests {
			n++
			got, err := derive(c.Salt, c.IKM, c.Info, c.Size)
			if c.Result != "valid" {
				if err == nil {
					t.Errorf("test %d: no error", c.ID)
				}
			} else if err != nil || !bytes.Equal(got, c.OKM) {
				t.Errorf("test %d: %x, %v, want %x", c.ID, got, err, c.OKM)
			}
		}
	}

	if n != w.NumberOfTests || n != 86 {
		t.Errorf("%d tests", n)
	}
}

// TestWycheproofAESGCM runs the groups of our key size and nonce size, the only ones that NewAEAD has.
func TestWycheproofAESGCM(t *testing.T) {
	type group struct {
		IVSize, KeySize, TagSize int
		Tests                    []struct {
			ID                         int `json:"tcId"`
			Key, IV, AAD, Msg, CT, Tag hexBytes
			Result                     string
		}
	}

	n := 0
	for _, g := range read[group](t, "aes_gcm_test.json").TestGroups {
		if g.KeySize != 256 || g.IVSize != 96 || g.TagSize != 128 {
			continue
		}
		for _, c := range g.Tests {
			n++
			aead, sealed := NewAEAD(c.Key), append(bytes.Clone(c.CT), c.Tag...)
			got, err := aead.Open(nil, c.IV, sealed, c.AAD)
			if c.Result != "valid" {
				if err == nil {
					t.Errorf("test %d: opened", c.ID)
				}
				continue
			}

			if err != nil || !bytes.Equal(got, c.Msg) {
				t.Errorf("test %d: %x, %v", c.ID, got, err)
			}
			if got := aead.Seal(nil, c.IV, c.Msg, c.AAD); !bytes.Equal(got, sealed) {
				t.Errorf("test %d: sealed %x", c.ID, got)
			}
		}
	}

	if n != 66 {
		t.Errorf("%d tests", n)
	}
}

func TestWycheproofEd25519(t *testing.T) {
	type group struct {
		PublicKey struct{ PK hexBytes }
		Tests     []struct {
			ID       int `json:"tcId"`
			Msg, Sig hexBytes
			Result   string
		}
	}

	n := 0
	w := read[group](t, "ed25519_test.json")
	for _, g := range w.TestGroups {
		for _, c := range g.Tests {
			n++
			if got := verify(ed25519.PublicKey(g.PublicKey.PK), c.Msg, c.Sig); got != (c.Result == "valid") {
				t.Errorf("test %d: %v, want %s", c.ID, got, c.Result)
			}
		}
	}

	if n != w.NumberOfTests || n != 151 {
		t.Errorf("%d tests", n)
	}
}

// TestFunctionsFollowTheProtocol holds each function to the formula of doc/protocol.md, section 1.
func TestFunctionsFollowTheProtocol(t *testing.T) {
	info := []byte("peephole v1 envelope\x00context")
	want, err := derive([]byte("salt"), []byte("ikm"), info, 44)
	if got := KDF([]byte("salt"), []byte("ikm"), Envelope, []byte("context"), 44); err != nil ||
		!bytes.Equal(got, want) {
		t.Errorf("KDF: %x, %v", got, err)
	}

	if got, want := Hash(Envelope, []byte("con"), []byte("text")), sha256.Sum256(info); got != want {
		t.Errorf("Hash: %x", got)
	}
	mac := hmac.New(sha256.New, []byte("key"))
	mac.Write(info)
	if got := MAC([]byte("key"), Envelope, []byte("context")); !bytes.Equal(got, mac.Sum(nil)) {
		t.Errorf("MAC: %x", got)
	}

	key := ed25519.NewKeyFromSeed(make([]byte, 32))
	public := key.Public().(ed25519.PublicKey)
	sig := Sign(key, Envelope, []byte("context"))
	if !bytes.Equal(sig, ed25519.Sign(key, info)) || !Verify(public, Envelope, []byte("context"), sig) {
		t.Error("Sign or Verify")
	}

	for name, ok := range map[string]bool{
		"another label":   Verify(public, Ticket, []byte("context"), sig),
		"another message": Verify(public, Envelope, []byte("Context"), sig),
		"short signature": Verify(public, Envelope, []byte("context"), sig[:63]),
		"no signature":    Verify(public, Envelope, []byte("context"), nil),
		"short key":       Verify(public[:31], Envelope, []byte("context"), sig),
		"no key":          Verify(nil, Envelope, []byte("context"), sig),
	} {
		if ok {
			t.Errorf("%s verifies", name)
		}
	}
}

// TestLabelsDiffer reads the constants from the source: all differ, and none contains a zero byte, which ends a label.
func TestLabelsDiffer(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "label.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]string{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || spec.Type == nil {
			return true
		}
		if name, ok := spec.Type.(*ast.Ident); !ok || name.Name != "Label" {
			return true
		}

		text, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil || text == "" || strings.Contains(text, "\x00") {
			t.Errorf("label %q: %v", text, err)
		}
		if first, ok := seen[text]; ok {
			t.Errorf("%s and %s are both %q", first, spec.Names[0], text)
		}

		seen[text] = spec.Names[0].Name
		return true
	})

	if len(seen) < 30 {
		t.Errorf("only %d labels", len(seen))
	}
}

func TestMistakesPanic(t *testing.T) {
	for name, f := range map[string]func(){
		"short AEAD key":      func() { NewAEAD(make([]byte, 16)) },
		"too much key":        func() { KDF(nil, nil, Envelope, nil, 255*32+1) },
		"AEAD nonce too long": func() { NewAEAD(make([]byte, 32)).Seal(nil, make([]byte, 16), nil, nil) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f()
		}()
	}
}
