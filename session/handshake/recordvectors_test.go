package handshake

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math"
	"os"
	"reflect"
	"testing"

	"github.com/peephole-cam/peephole/crypto/envelope"
)

// recordVectors are also read by the page's unit tests (web/test/unit/record.test.ts).
type recordVectors struct {
	Description string        `json:"description"`
	Key         string        `json:"key"`
	Stories     []recordStory `json:"stories"`
}

// recordStory is what arrives at one receiver, in order.
type recordStory struct {
	Name     string          `json:"name"`
	Arrivals []recordArrival `json:"arrivals"`
}

type recordArrival struct {
	Record    string `json:"record"`
	Result    string `json:"result"`              // "opens", "copy", "late" or "foreign"
	Plaintext string `json:"plaintext,omitempty"` // if it opens
}

// recordResults are the results of a recordArrival, and how this implementation names them.
var recordResults = map[string]error{"opens": nil, "copy": ErrRecordCopy, "late": ErrRecordLate, "foreign": ErrRecord}

// TestRecordVectors: every implementation accepts, ignores and rejects the same records in the same order.
func TestRecordVectors(t *testing.T) {
	secret := &Secret{key: bytes.Repeat([]byte{8}, 32)}
	got := recordVectors{
		Description: "What arrives on a session's mailbox, to the camera (doc/protocol.md, section 6). " +
			"Written by: go test ./session/handshake -run Vectors -update",
		Key:     hex.EncodeToString(secret.key),
		Stories: recordStories(t, secret),
	}

	if *update {
		writeVectors(t, "testdata/record.json", got)
	}
	text, err := os.ReadFile("testdata/record.json")
	if err != nil {
		t.Fatal(err)
	}
	var want recordVectors
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Error("the records that are made differ from those in testdata/record.json")
	}

	for _, story := range want.Stories {
		_, open := ends(secret, signalingChannel, envelope.ToCamera)
		for i, a := range story.Arrivals {
			wire, err := hex.DecodeString(a.Record)
			if err != nil {
				t.Fatal(err)
			}
			m, err := open.open(wire)
			if want, ok := recordResults[a.Result]; !ok || !errors.Is(err, want) {
				t.Errorf("%s, arrival %d: %v, want %q", story.Name, i, err, a.Result)
			}
			if plain, err := json.Marshal(m); err != nil || a.Result == "opens" && string(plain) != a.Plaintext {
				t.Errorf("%s, arrival %d opens as %s, %v; want %s", story.Name, i, plain, err, a.Plaintext)
			}
		}
	}
}

// recordStep is the arrival of a record with this counter and of this type, and its result.
type recordStep struct {
	counter uint64
	kind    string
	result  string
}

// recordPlots are the stories before they are sealed.
var recordPlots = []struct {
	name  string
	steps []recordStep
}{
	{"in order", []recordStep{{0, "candidate", "opens"}, {1, "candidate", "opens"}, {2, "bye", "opens"}}},
	{"overtaken", []recordStep{{2, "bye", "opens"}, {0, "candidate", "opens"}, {1, "candidate", "opens"}}},
	{"copies", []recordStep{{0, "candidate", "opens"}, {0, "candidate", "copy"}, {1, "candidate", "opens"},
		{0, "candidate", "copy"}, {1, "candidate", "copy"}}},
	{"63 and 64 behind", []recordStep{{64, "candidate", "opens"}, {0, "candidate", "late"}, {1, "candidate", "opens"},
		{1, "candidate", "copy"}, {128, "candidate", "opens"}, {64, "candidate", "late"},
		{65, "candidate", "opens"}}},
	{"far forward", []recordStep{{5, "candidate", "opens"}, {1 << 40, "candidate", "opens"}, {5, "candidate", "late"},
		{1<<40 - 63, "candidate", "opens"}, {1<<40 - 64, "candidate", "late"}}},
	{"to the last counter", []recordStep{{lastCounter - 1, "candidate", "opens"},
		{lastCounter, "candidate", "opens"}, {lastCounter, "candidate", "copy"},
		{lastCounter - 63, "candidate", "opens"}, {lastCounter - 64, "candidate", "late"}, {0, "candidate", "late"}}},
	{"the newest state", []recordStep{{3, "network", "opens"}, {1, "network", "late"}, {1, "network", "copy"},
		{2, "status", "opens"}, {0, "status", "late"}, {4, "network", "opens"}, {6, "challenge", "opens"},
		{5, "challenge", "late"}, {8, "sending", "opens"}, {7, "sending", "late"}}},
	{"forged", []recordStep{{0, "candidate", "foreign"}, {0, "candidate", "opens"}, {0, "candidate", "foreign"},
		{100, "candidate", "foreign"}, {1, "candidate", "opens"}, {99, "candidate", "opens"},
		{2, "candidate", "foreign"}, {2, "candidate", "late"}}},
}

const lastCounter = math.MaxUint64

// recordStories seals the stories.
func recordStories(t *testing.T, secret *Secret) (stories []recordStory) {
	t.Helper()
	for _, plot := range recordPlots {
		story := recordStory{Name: plot.name}
		for _, s := range plot.steps {
			send, _ := ends(secret, signalingChannel, envelope.ToCamera)
			send.next = s.counter
			m := Message{Type: s.kind}
			plain, err := json.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}

			a, wire := recordArrival{Result: s.result}, sealed(t, send, m)
			switch s.result {
			case "opens":
				a.Plaintext = string(plain)
			case "foreign":
				wire[len(wire)-1] ^= 1
			}
			a.Record = hex.EncodeToString(wire)
			story.Arrivals = append(story.Arrivals, a)
		}
		stories = append(stories, story)
	}

	return stories
}
