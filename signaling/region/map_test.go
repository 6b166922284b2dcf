package region

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/crypto/label"
)

var (
	operator = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, ed25519.SeedSize))
	stranger = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{2}, ed25519.SeedSize))
	issued   = time.Unix(1_800_000_000, 0).UTC()
	end      = issued.Add(90 * 24 * time.Hour)
)

func publicKey(k ed25519.PrivateKey) ed25519.PublicKey { return k.Public().(ed25519.PublicKey) }

// twoRegions returns a map that is valid.
func twoRegions() Map {
	return Map{Issued: issued, NotAfter: end, Regions: []Region{
		{Name: "frankfurt", URL: "https://fra.relay.example", TURN: "fra.relay.example:3478"},
		{Name: "virginia-2", URL: "https://[2001:db8::1]:8443", TURN: "[2001:db8::1]:3478", STUN: "192.0.2.1:3479"},
	}}
}

// withKeys returns a map whose first region has a key.
func withKeys() Map {
	m := twoRegions()
	m.Regions[0].Key = KeyText(bytes.Repeat([]byte{3}, KeySize))
	return m
}

func mustSign(t testing.TB, m Map, key ed25519.PrivateKey) []byte {
	t.Helper()
	wire, err := m.Sign(key)
	if err != nil {
		t.Fatal(err)
	}
	return wire
}

// signText signs what Sign would refuse.
func signText(t testing.TB, text string) []byte {
	t.Helper()
	return mustEncode(t, signed{
		Map:       text,
		Key:       encode(publicKey(operator)),
		Signature: encode(label.Sign(operator, label.RegionMap, []byte(text))),
	})
}

func mustEncode(t testing.TB, s signed) []byte {
	t.Helper()
	wire, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return append(wire, '\n')
}

func TestSignedMapOpensForItsOperatorAlone(t *testing.T) {
	wire := mustSign(t, twoRegions(), operator)
	m, err := Open(wire, publicKey(operator), end)
	if err != nil || !reflect.DeepEqual(m, twoRegions()) {
		t.Errorf("got %+v, %v", m, err)
	}

	if m, err := Open(wire, publicKey(stranger), issued); !errors.Is(err, ErrOperator) || m.Regions != nil {
		t.Errorf("for another operator: %+v, %v", m, err)
	}
	m, key, err := Read(wire, issued)
	if err != nil || !key.Equal(publicKey(operator)) || len(m.Regions) != 2 {
		t.Errorf("by the key in it: %+v, %v, %v", m, key, err)
	}
}

// An attacker can name the operator's key, or put the operator's signature beside a map of its own.
func TestForgedMapDoesNotOpen(t *testing.T) {
	var s, theirs signed
	if err := json.Unmarshal(mustSign(t, twoRegions(), operator), &s); err != nil {
		t.Fatal(err)
	}
	other := twoRegions()
	other.Regions = other.Regions[:1]
	if err := json.Unmarshal(mustSign(t, other, stranger), &theirs); err != nil {
		t.Fatal(err)
	}

	ticket := s
	ticket.Signature = encode(label.Sign(operator, label.Ticket, []byte(s.Map)))
	for name, forged := range map[string]signed{
		"one letter changed": {strings.Replace(s.Map, "fra.relay", "frb.relay", 1), s.Key, s.Signature},
		"the operator's key beside a stranger's signature": {theirs.Map, s.Key, theirs.Signature},
		"the operator's signature beside another map":      {theirs.Map, s.Key, s.Signature},
		"a stranger's key beside the operator's signature": {s.Map, theirs.Key, s.Signature},
		"a signature made for something else":              ticket,
	} {
		wire := mustEncode(t, forged)
		if m, err := Open(wire, publicKey(operator), issued); !errors.Is(err, ErrOperator) || m.Regions != nil {
			t.Errorf("%s: %+v, %v", name, m, err)
		}
		if m, key, err := Read(wire, issued); !errors.Is(err, ErrChanged) || key != nil || m.Regions != nil {
			t.Errorf("%s, by the key in it: %+v, %v", name, m, err)
		}
	}
}

func TestExpiredMapIsReturnedAsSuch(t *testing.T) {
	wire := mustSign(t, twoRegions(), operator)
	for now, want := range map[time.Time]error{end: nil, end.Add(time.Second): ErrExpired} {
		m, err := Open(wire, publicKey(operator), now)
		if !errors.Is(err, want) || len(m.Regions) != 2 {
			t.Errorf("at %v: %+v, %v", now, m, err)
		}
	}
}

func TestMapThatCannotBeRightIsRefused(t *testing.T) {
	for want, spoil := range map[string]func(*Map){
		"no regions":                func(m *Map) { m.Regions = nil },
		"257 regions":               func(m *Map) { m.Regions = make([]Region, MaxRegions+1) },
		"expire after it is issued": func(m *Map) { m.NotAfter = m.Issued },
		"from 1970 to 9999":         func(m *Map) { m.Issued = time.Unix(-1, 0) },
		"to 9999":                   func(m *Map) { m.NotAfter = time.Unix(lastSecond+1, 0) },
		"the name \"frankfurt\" is": func(m *Map) { m.Regions[1].Name = "frankfurt" },
		"is used twice: run": func(m *Map) {
			m.Regions[0].Key = withKeys().Regions[0].Key
			m.Regions[1].Key = m.Regions[0].Key
		},
		"example is used twice":       func(m *Map) { m.Regions[1].URL = m.Regions[0].URL },
		"name \"\"":                   func(m *Map) { m.Regions[0].Name = "" },
		"name \"Frankfurt\"":          func(m *Map) { m.Regions[0].Name = "Frankfurt" },
		"name \"aaaaa":                func(m *Map) { m.Regions[0].Name = strings.Repeat("a", maxName+1) },
		"want https://":               func(m *Map) { m.Regions[0].URL = "http://fra.relay.example" },
		"want it spelled":             func(m *Map) { m.Regions[0].URL += "/" },
		"stun \"stun:a:1\" of \"fra":  func(m *Map) { m.Regions[0].STUN = "stun:a:1" },
		"turn \"\" of \"virginia-2\"": func(m *Map) { m.Regions[1].TURN = "" },
		"key of \"frankfurt\"":        func(m *Map) { m.Regions[0].Key = "AAAA" },
		"key of \"virginia-2\": want": func(m *Map) { m.Regions[1].Key = unusedBit(withKeys().Regions[0].Key) },
	} {
		m := twoRegions()
		spoil(&m)
		if wire, err := m.Sign(operator); err == nil || !strings.Contains(err.Error(), want) || wire != nil {
			t.Errorf("%s: signed: %v", want, err)
		}

		text, err := json.Marshal(body{m.version(), m.Issued.Unix(), m.NotAfter.Unix(), m.Regions})
		if err != nil {
			t.Fatal(err)
		}
		opened, err := Open(signText(t, string(text)), publicKey(operator), issued)
		if !errors.Is(err, ErrMap) || !strings.Contains(err.Error(), want) || opened.Regions != nil {
			t.Errorf("%s: opened: %v", want, err)
		}
	}
}

// A host and a port have one spelling, and lead somewhere.
func TestHostAndPort(t *testing.T) {
	for text, want := range map[string]bool{
		"turn.example:3478":             true,
		"192.0.2.1:443":                 true,
		"[2001:db8::1]:65535":           true,
		"localhost:1":                   true,
		"turn.example":                  false,
		"turn.example:":                 false,
		"turn.example:0":                false,
		"turn.example:65536":            false,
		"turn.example:03478":            false,
		"Turn.example:3478":             false,
		"turn..example:3478":            false,
		"turn.example:3478?transport=x": false,
		"turn.example:https":            false,
		"user@turn.example:3478":        false,
		":3478":                         false,
		"0.0.0.0:3478":                  false,
		"[::]:3478":                     false,
		"127.1:3478":                    false,
		"[192.0.2.1]:3478":              false,
		"[::ffff:192.0.2.1]:3478":       false,
		"[2001:db8:0::1]:3478":          false,
		"[fe80::1%eth0]:3478":           false,
		"2001:db8::1:3478":              false,
	} {
		if got := isHostPort(text); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}

// unusedBit returns another spelling of what base64url spells with unused bits, which are zero in the right one.
func unusedBit(text string) string {
	const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(digits, text[len(text)-1])
	return text[:len(text)-1] + digits[last+1:last+2]
}

// What two readers could understand differently is refused, whoever has signed it.
func TestWhatIsNoMapIsRefused(t *testing.T) {
	good := string(mustSign(t, twoRegions(), operator))
	var s signed
	if err := json.Unmarshal([]byte(good), &s); err != nil {
		t.Fatal(err)
	}
	inside := func(old, replacement string) string {
		text := strings.Replace(s.Map, old, replacement, 1)
		if text == s.Map {
			t.Fatalf("no %s in %s", old, s.Map)
		}
		return string(signText(t, text))
	}

	for name, wire := range map[string]string{
		"nothing":                    "",
		"a torn one":                 good[:len(good)/2],
		"two":                        good + good,
		"a page":                     "<html>",
		"an unknown field":           strings.Replace(good, `"key"`, `"age":1,"key"`, 1),
		"a field in another case":    strings.Replace(good, `"map"`, `"MAP"`, 1),
		"a field twice":              strings.Replace(good, `"key"`, `"map":"{}","key"`, 1),
		"white space":                strings.Replace(good, `"key":`, `"key": `, 1),
		"a byte order mark":          "\ufeff" + good,
		"no signature":               strings.Replace(good, s.Signature, "", 1),
		"a signature cut short":      strings.Replace(good, s.Signature, s.Signature[:84], 1),
		"another spelling of a key":  strings.Replace(good, s.Key, s.Key+"=", 1),
		"no line feed":               strings.TrimSuffix(good, "\n"),
		"unused bits of a key":       strings.Replace(good, s.Key, unusedBit(s.Key), 1),
		"unused bits of a signature": strings.Replace(good, s.Signature, unusedBit(s.Signature), 1),
		"too much":                   string(signText(t, strings.Repeat("a", MaxSize))),
		"an escaped letter":          strings.Replace(good, "frankfurt", `\u0066rankfurt`, 1),
		"an unknown field inside":    inside(`"name"`, `"age":1,"name"`),
		"another case inside":        inside(`"url"`, `"URL"`),
		"a field twice inside":       inside(`"url"`, `"url":"https://other.example","url"`),
		"an empty stun":              inside(`example:3478"`, `example:3478","stun":""`),
		"no version":                 inside(`"v":1,`, ``),
		"version 1.0":                inside(`"v":1,`, `"v":1.0,`),
		"a time that wraps":          inside(`"issued":1800000000`, `"issued":9223372036854775807`),
		"something after inside":     string(signText(t, s.Map+" {}")),
	} {
		if m, err := Open([]byte(wire), publicKey(operator), issued); !errors.Is(err, ErrMap) || m.Regions != nil {
			t.Errorf("%s: %+v, %v", name, m, err)
		}
		if m, key, err := Read([]byte(wire), issued); !errors.Is(err, ErrMap) || key != nil || m.Regions != nil {
			t.Errorf("%s, by the key in it: %+v, %v", name, m, err)
		}
	}
}

// A map has one version, so that devices which know the first alone read whatever they can.
func TestMapWithKeysHasAVersionOfItsOwn(t *testing.T) {
	wire := mustSign(t, withKeys(), operator)
	m, err := Open(wire, publicKey(operator), issued)
	if err != nil || !reflect.DeepEqual(m, withKeys()) || !bytes.Equal(m.Regions[0].PublicKey(),
		bytes.Repeat([]byte{3}, KeySize)) || m.Regions[1].PublicKey() != nil {
		t.Errorf("%+v, %v", m, err)
	}

	for name, m := range map[string]Map{`{"v":1,`: twoRegions(), `{"v":2,`: withKeys()} {
		var s signed
		if err := json.Unmarshal(mustSign(t, m, operator), &s); err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(s.Map, name) {
			t.Errorf("want %s: %s", name, s.Map)
		}
		other := strings.NewReplacer(`{"v":1,`, `{"v":2,`, `{"v":2,`, `{"v":1,`).Replace(s.Map)
		if _, err := Open(signText(t, other), publicKey(operator), issued); !errors.Is(err, ErrMap) {
			t.Errorf("%s as the other version: %v", name, err)
		}
	}
}

// A newer version may have other fields, and is not guessed at.
func TestMapOfANewerVersionSaysSo(t *testing.T) {
	wire := signText(t, `{"v":3,"continents":[]}`)
	if m, err := Open(wire, publicKey(operator), issued); !errors.Is(err, ErrVersion) || m.Regions != nil {
		t.Errorf("%+v, %v", m, err)
	}
}

// A map may have MaxSize bytes, and not one more.
func TestSizeOfAMapIsBounded(t *testing.T) {
	m := twoRegions()
	m.Regions = nil
	for i := range MaxRegions {
		host := fmt.Sprintf("%s.%d.example", strings.Repeat("a", 60), i)
		m.Regions = append(m.Regions, Region{Name: fmt.Sprint(i), URL: "https://" + host, TURN: host + ":3478"})
	}

	left := MaxSize - len(mustSign(t, m, operator))
	for i := range m.Regions { // another label takes 2 to 61 bytes
		n := min(left, 61)
		if left-n == 1 {
			n--
		}
		if n > 0 {
			m.Regions[i].TURN = strings.Repeat("b", n-1) + "." + m.Regions[i].TURN
		}
		left -= n
	}

	wire := mustSign(t, m, operator)
	if _, err := Open(wire, publicKey(operator), issued); err != nil || len(wire) != MaxSize {
		t.Errorf("%d bytes: %v", len(wire), err)
	}
	m.Regions[0].Name += "0"
	if _, err := m.Sign(operator); err == nil || !strings.Contains(err.Error(), "want 65536 at most: remove regions") {
		t.Errorf("a byte more: %v", err)
	}
}

// TestVectors: other programs read the same bytes.
func TestVectors(t *testing.T) {
	text, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct {
		Name    string
		Seed    []byte // of the operator's key
		Wire    string
		Now     int64
		Error   string
		Regions []Region
	}
	if err := json.Unmarshal(text, &vectors); err != nil {
		t.Fatal(err)
	}
	if len(vectors) < 3 {
		t.Fatalf("%d vectors", len(vectors))
	}

	failures := map[string]error{"": nil, "expired": ErrExpired, "operator": ErrOperator, "version": ErrVersion,
		"map": ErrMap}
	for _, v := range vectors {
		want, known := failures[v.Error]
		if !known {
			t.Fatalf("%s: unknown error %q", v.Name, v.Error)
		}
		m, err := Open([]byte(v.Wire), publicKey(ed25519.NewKeyFromSeed(v.Seed)), time.Unix(v.Now, 0))
		if !errors.Is(err, want) || !reflect.DeepEqual(m.Regions, v.Regions) {
			t.Errorf("%s: %+v, %v", v.Name, m, err)
		}
	}
}

// FuzzOpen: only what an operator has signed opens, and what opens can be signed again.
func FuzzOpen(f *testing.F) {
	good := mustSign(f, twoRegions(), operator)
	var s signed
	if err := json.Unmarshal(good, &s); err != nil {
		f.Fatal(err)
	}
	f.Add(good, s.Map)
	f.Add(good[:len(good)-9], `{"v":3}`)
	f.Add(mustSign(f, withKeys(), operator), `{"v":2}`)
	f.Add([]byte("{}"), strings.Replace(s.Map, "https://", "http://", 1))

	f.Fuzz(func(t *testing.T, wire []byte, text string) {
		m, err := Open(wire, publicKey(stranger), issued)
		if err == nil || m.Regions != nil {
			t.Fatalf("nobody signed %q, and it opens", wire)
		}

		m, err = Open(signText(t, text), publicKey(operator), issued)
		if err != nil && !errors.Is(err, ErrExpired) {
			if m.Regions != nil {
				t.Fatalf("a map beside %v", err)
			}
			return
		}
		again, err := m.Sign(operator)
		if err != nil {
			t.Fatalf("%+v opens and cannot be signed: %v", m, err)
		}
		if m.Issued.Unix() >= m.NotAfter.Unix() {
			t.Fatalf("%+v is issued after its end", m)
		}
		same, err := Open(again, publicKey(operator), issued)
		if err != nil && !errors.Is(err, ErrExpired) || !reflect.DeepEqual(same, m) {
			t.Fatalf("%+v became %+v, %v", m, same, err)
		}
	})
}
