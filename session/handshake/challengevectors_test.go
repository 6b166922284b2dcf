package handshake

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"reflect"
	"testing"

	"github.com/peephole-cam/peephole/crypto/envelope"
)

// challengeVectors are also read by the page's unit tests (web/test/unit/record.test.ts).
type challengeVectors struct {
	Description string            `json:"description"`
	Key         string            `json:"key"`
	Challenges  []challengeVector `json:"challenges"`
}

type challengeVector struct {
	Challenge string `json:"challenge"`
	Busy      int    `json:"busy"`
	Plaintext string `json:"plaintext"`
	Record    string `json:"record"`
}

// TestChallengeVectors: every implementation seals a viewer's challenge, and how busy the viewer is, to the same bytes.
func TestChallengeVectors(t *testing.T) {
	key := bytes.Repeat([]byte{7}, 32)
	send, open := ends(&Secret{key: key}, dataChannel, envelope.ToCamera)
	got := challengeVectors{
		Description: "Challenges (doc/protocol.md, section 6), the first records of a data channel. " +
			"Written by: go test ./session/handshake -run Vectors -update",
		Key: hex.EncodeToString(key),
	}

	for i, busy := range []int{0, 1, 25, 100} {
		m := Message{Type: "challenge", Challenge: bytes.Repeat([]byte{0xf8 + byte(i)}, challengeSize), Busy: busy}
		plaintext, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		wire := sealed(t, send, m)
		got.Challenges = append(got.Challenges, challengeVector{
			hex.EncodeToString(m.Challenge), busy, string(plaintext), hex.EncodeToString(wire),
		})
	}

	if *update {
		writeVectors(t, "testdata/challenge.json", got)
	}
	text, err := os.ReadFile("testdata/challenge.json")
	if err != nil {
		t.Fatal(err)
	}
	var want challengeVectors
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}

	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	for _, v := range want.Challenges {
		wire, err := hex.DecodeString(v.Record)
		if err != nil {
			t.Fatal(err)
		}
		m, err := open.open(wire)
		if err != nil || m.Type != "challenge" || m.Busy != v.Busy || hex.EncodeToString(m.Challenge) != v.Challenge {
			t.Errorf("%s opens as %+v, %v", v.Plaintext, m, err)
		}
	}
}

func writeVectors(t *testing.T, file string, vectors any) {
	t.Helper()
	text, err := json.MarshalIndent(vectors, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, append(text, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}
