package camera

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"reflect"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/crypto/label"
)

var update = flag.Bool("update", false, "write testdata/hostkeys.json anew")

// hostVectors are the host keys of a seed, and host lists, that every camera must make.
type hostVectors struct {
	Description string           `json:"description"`
	Seeds       []hostSeedVector `json:"seeds"`
}

type hostSeedVector struct {
	Seed   string          `json:"seed"`
	Offset uint32          `json:"offset"`
	Days   []hostDayVector `json:"days"`
	List   hostListVector  `json:"list"`
}

type hostDayVector struct {
	At     int64  `json:"at"`
	Day    uint32 `json:"day"`
	Public string `json:"public"`
}

type hostListVector struct {
	At      int64    `json:"at"`
	First   uint32   `json:"first"`
	Version string   `json:"version"`
	Keys    string   `json:"keys"`
	Relays  []string `json:"relays"`
}

// TestHostVectors: the keys of a seed, when they change, and the lists of them are those of doc/protocol.md, section
// 6.6. A camera that made others after an update would be lost to its viewers.
func TestHostVectors(t *testing.T) {
	got := hostVectors{Description: "Host keys and host lists (doc/protocol.md, section 6.6). Byte strings are hex, " +
		"times Unix seconds. Written by: go test ./camera -run Vectors -update"}
	for i, relays := range [][]string{nil, {"/dns4/relay.example/udp/4001/quic-v1/p2p/ID", "/ip4/192.0.2.1/udp/4001"}} {
		got.Seeds = append(got.Seeds, hostVector(byte(i+1), relays))
	}

	const file = "testdata/hostkeys.json"
	if *update {
		b, err := json.MarshalIndent(got, "", " ")
		if err == nil {
			err = os.WriteFile(file, append(b, '\n'), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}

	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var want hostVectors
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v; want %+v", got, want)
	}
}

// hostVector returns the vector of a seed of 32 equal bytes.
func hostVector(b byte, relays []string) hostSeedVector {
	s := hostSeed{envelope.Secret(bytes.Repeat([]byte{b}, 32))}
	offset := binary.BigEndian.Uint32(label.KDF(nil, s.Secret[:], label.HostDayOffset, nil, 4)) % 86400
	v := hostSeedVector{Seed: hex.EncodeToString(s.Secret[:]), Offset: offset}
	midday := int64(1_795_000_000)
	turn := midday - midday%86400 + 86400 - int64(offset)
	for _, at := range []int64{-1, 0, midday, turn - 1, turn} {
		day := s.day(time.Unix(at, 0))
		public := s.key(day).Public().(ed25519.PublicKey)
		v.Days = append(v.Days, hostDayVector{at, day, hex.EncodeToString(public)})
	}

	l := s.list(time.Unix(midday, 0), relays)
	v.List = hostListVector{
		At:      midday,
		First:   l.First,
		Version: hex.EncodeToString(l.Version),
		Keys:    hex.EncodeToString(l.Keys),
		Relays:  append([]string{}, l.Relays...),
	}
	return v
}
