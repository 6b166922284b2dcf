package handshake

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"reflect"
	"testing"

	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/crypto/identity"
)

var update = flag.Bool("update", false, "write the vectors in testdata anew")

// stillVectors are also read by the page's unit tests (web/test/unit/still.test.ts).
type stillVectors struct {
	Description string   `json:"description"`
	Key         string   `json:"key"`
	Random      string   `json:"camera_random"`
	ID          string   `json:"session_id"`
	Camera      string   `json:"camera"`
	Viewer      string   `json:"viewer"`
	BaseKey     string   `json:"base_key"`
	Binding     string   `json:"binding"`
	Size        int      `json:"plaintext_size"`
	Pieces      []string `json:"pieces_sha256"`
}

// The bytes of a still do not change, because another implementation relies on them.
func TestStillVectors(t *testing.T) {
	fill := func(n int, with byte) (b []byte) {
		for i := range n {
			b = append(b, with+byte(i%251))
		}
		return b
	}

	s := &Secret{
		key:     fill(32, 1),
		randomC: fill(32, 2),
		id:      envelope.SessionID(fill(16, 3)),
		camera:  identity.Fingerprint(fill(32, 4)),
		viewer:  identity.Fingerprint(fill(32, 5)),
	}

	const size = chunkBytes + 123
	plaintext := append([]byte{2, 1, 1}, fill(size-3, 0)...)
	pieces, err := s.sealChunks(plaintext)
	if err != nil {
		t.Fatal(err)
	}

	got := stillVectors{"A still (doc/protocol.md, section 6.1): after 02 01 01 byte i of the plaintext is (i-3) " +
		"mod 251. Written by: go test ./session/handshake -run Vectors -update",
		hex.EncodeToString(s.key), hex.EncodeToString(s.randomC), hex.EncodeToString(s.id[:]),
		hex.EncodeToString(s.camera[:]), hex.EncodeToString(s.viewer[:]),
		hex.EncodeToString(s.cameraBaseKey(stillTrack)), hex.EncodeToString(s.binding(stillTrack)), size, nil}
	for _, p := range pieces {
		sum := sha256.Sum256(p)
		got.Pieces = append(got.Pieces, hex.EncodeToString(sum[:]))
	}

	if *update {
		writeVectors(t, "testdata/still.json", got)
	}
	text, err := os.ReadFile("testdata/still.json")
	if err != nil {
		t.Fatal(err)
	}

	var want stillVectors
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
