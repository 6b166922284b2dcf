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

// A file that differs from what a camera writes is damaged: no key is made of half a seed.
func TestDamagedHostStateIsRefused(t *testing.T) {
	whole, err := aHostState().encode()
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string][2]string{
		"no version":                 {`"version": 1`, `"x": 1`},
		"a seed cut":                 {`"seed": "AQAAAA`, `"seed": "AQAA`},
		"a seed too long":            {`"seed": "AQAAAA`, `"seed": "AQAAAAAAAA`},
		"an earlier seed cut":        {`"seed": "AgAAAA`, `"seed": "AgAA`},
		"a holder cut":               {`"0100`, `"01`},
		"a holder too long":          {`"0100`, `"010000`},
		"a holder that is no hex":    {`"0100`, `"zz00`},
		"a waiting viewer cut":       {`"0300`, `"03`},
		"an end that no file spells": {`"2027-03-14T13:00:00Z"`, `"9999-12-31T23:59:59-23:59"`},
		"four earlier seeds":         {`"earlier": [`, `"earlier": [{},{},`},
	} {
		body := bytes.Replace(whole, []byte(change[0]), []byte(change[1]), 1)
		if _, err := parseHostState(body); bytes.Equal(body, whole) || !errors.Is(err, errHostsFile) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A file may name twice as many viewers as a roster has.
func TestHoldersAreBounded(t *testing.T) {
	for count, ok := range map[int]bool{128: true, 129: false} {
		s := aHostState()
		s.holders = make([]Fingerprint, count)
		b, err := s.encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parseHostState(b); (err == nil) != ok {
			t.Errorf("%d holders: %v", count, err)
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
