package camera

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

// aHostState returns a state with everything that one can hold.
func aHostState() hostState {
	return hostState{
		seed:    hostSeed{[32]byte{1}},
		since:   theDay,
		holders: []Fingerprint{alice, bob},
		earlier: []earlierSeed{
			{hostSeed{[32]byte{2}}, theDay.Add(time.Hour), []Fingerprint{bob}},
			{hostSeed{[32]byte{3}}, theDay.Add(time.Minute), []Fingerprint{carol}},
		},
	}
}

func TestHostStateComesBackAsItWas(t *testing.T) {
	for _, want := range []hostState{aHostState(), {seed: newHostSeed(), since: theDay, holders: []Fingerprint{}}} {
		b, err := want.encode()
		if err != nil {
			t.Fatal(err)
		}
		if got, err := parseHostState(b); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s is read as %+v, %v", b, got, err)
		}
	}
}

// FuzzHostState: a file that is accepted is within its bounds, and is written as it was read.
func FuzzHostState(f *testing.F) {
	whole, err := aHostState().encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add("", "", []byte{})
	f.Add(`"version": 1`, `"version": 2`, []byte{})
	f.Add(`"holders": [`, `"holders": [""],"x":[`, []byte{})
	f.Add(`"until": "2027`, `"until": "12027`, []byte{})
	f.Add("", "", []byte("null"))

	f.Fuzz(func(t *testing.T, old, changed string, body []byte) {
		if len(body) == 0 {
			body = bytes.Replace(whole, []byte(old), []byte(changed), 1)
		}
		s, err := parseHostState(body)
		if err != nil {
			if !errors.Is(err, errHostsFile) && !errors.Is(err, errHostsFileNewer) {
				t.Errorf("%q: %v", body, err)
			}
			if strings.Contains(err.Error(), s.seed.Encode()) {
				t.Errorf("the error shows the seed: %v", err)
			}
			return
		}

		if len(s.holders) > 128 || len(s.earlier) > 3 {
			t.Errorf("%d viewers, %d earlier seeds", len(s.holders), len(s.earlier))
		}
		once, err := s.encode()
		if err != nil {
			t.Fatalf("%q is read, and cannot be written: %v", body, err)
		}
		again, err := parseHostState(once)
		if err != nil {
			t.Fatalf("%q is written as %q: %v", body, once, err)
		}
		if twice, err := again.encode(); err != nil || !bytes.Equal(once, twice) {
			t.Errorf("%q is written as %q, then as %q, %v", body, once, twice, err)
		}
	})
}
