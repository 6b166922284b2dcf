package handshake

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"reflect"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/media"
)

// frameVectors are also read by the page's unit tests (web/test/unit/joiner.test.ts).
type frameVectors struct {
	Description string         `json:"description"`
	Cases       []frameVector  `json:"cases"`
	Refused     []refusedFrame `json:"refused"`
	Size        int            `json:"picture_size"`
	Pieces      []string       `json:"pieces_sha256"`
}

type frameVector struct {
	Name      string `json:"name"`
	Plaintext string `json:"plaintext"`
	Keyframe  bool   `json:"keyframe"`
	Continued bool   `json:"continued"`
	Continues bool   `json:"continues"`
	Captured  int64  `json:"captured"`
	Challenge string `json:"challenge"`
	Data      string `json:"data"`
}

type refusedFrame struct {
	Name      string `json:"name"`
	Plaintext string `json:"plaintext"`
}

// The bytes of frames do not change, because another implementation relies on them.
func TestFrameVectors(t *testing.T) {
	const captured = 1_795_000_000_123
	at, c := capturedAt(time.UnixMilli(captured)), Challenge{1, 2, 3, 4, 5, 6, 7, 8}
	got := frameVectors{
		Description: "Frames (doc/protocol.md, section 7). Byte i of the picture is i mod 251; it is a keyframe, " +
			"captured and " +
			"challenged as the cases are. Written by: go test ./session/handshake -run Vectors -update",
		Size: 2*MaxPiece + 1,
	}

	data := []byte("access unit")
	for _, v := range []frameVector{
		{Name: "whole"},
		{Name: "whole keyframe", Keyframe: true},
		{Name: "first piece", Keyframe: true, Continues: true},
		{Name: "middle piece", Keyframe: true, Continued: true, Continues: true},
		{Name: "last piece", Continued: true},
	} {
		unit := media.AccessUnit{Keyframe: v.Keyframe, Captured: at}
		plain := appendPiece(nil, unit, piece{data, v.Continued, v.Continues}, c)
		v.Plaintext, v.Data, v.Captured = hex.EncodeToString(plain), hex.EncodeToString(data), captured
		v.Challenge = hex.EncodeToString(c[:])
		got.Cases = append(got.Cases, v)

		f, answered, err := parseFrame(plain)
		if err != nil || f.continued != v.Continued || f.continues != v.Continues || f.Keyframe != v.Keyframe ||
			answered != c {
			t.Errorf("%s: read as %+v, %v, %v", v.Name, f, answered, err)
		}
	}

	good := appendFrame(nil, media.AccessUnit{Data: data, Captured: at}, c)
	for _, r := range []struct {
		name  string
		at    int
		value byte
	}{{"version 1", 0, 1}, {"version 3", 0, 3}, {"unknown flag", 1, 8}, {"unknown codec", 2, 2}} {
		bad := append([]byte(nil), good...)
		bad[r.at] = r.value
		got.Refused = append(got.Refused, refusedFrame{r.name, hex.EncodeToString(bad)})
	}

	got.Refused = append(got.Refused, refusedFrame{"no data", hex.EncodeToString(good[:frameHeaderSize])})
	picture := media.AccessUnit{Data: pattern(got.Size), Keyframe: true, Captured: at}
	for _, p := range cut(picture.Data) {
		sum := sha256.Sum256(appendPiece(nil, picture, p, c))
		got.Pieces = append(got.Pieces, hex.EncodeToString(sum[:]))
	}

	for _, r := range got.Refused {
		plain, err := hex.DecodeString(r.Plaintext)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := parseFrame(plain); err == nil {
			t.Errorf("%s is accepted", r.Name)
		}
	}

	if *update {
		text, err := json.MarshalIndent(got, "", " ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile("testdata/frame.json", append(text, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}

	text, err := os.ReadFile("testdata/frame.json")
	if err != nil {
		t.Fatal(err)
	}
	var want frameVectors
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}

	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
