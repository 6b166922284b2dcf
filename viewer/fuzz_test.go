package viewer

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/peephole-cam/peephole/crypto/pairing"
	"github.com/peephole-cam/peephole/printable"
	"github.com/peephole-cam/peephole/session"
)

// FuzzWelcome: a camera's own name is short, and cannot manipulate a terminal or the lines of a list.
func FuzzWelcome(f *testing.F) {
	for _, seed := range []string{`{"name":"front door"}`, `{"name":"\u001b[2J\u202e\n"}`,
		`{"name":"` + strings.Repeat("x", 201) + `"}`, `{"NAME":"a","name":null}`, `[]`, ``} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		w, err := parseWelcome(body)
		if err != nil {
			if w.Name != "" || !errors.Is(err, pairing.ErrInvalid) {
				t.Errorf("%q, %v", w.Name, err)
			}
			return
		}

		if utf8.RuneCountInString(w.Name) > printable.MaxName || strings.IndexFunc(w.Name, func(r rune) bool {
			return !unicode.IsPrint(r)
		}) >= 0 {
			t.Errorf("a camera is called %q", w.Name)
		}
	})
}

// FuzzHostList: a host list that is read from disk is whole, and is written as it was read.
func FuzzHostList(f *testing.F) {
	whole, err := encodeHostList(session.HostList{
		Version: make([]byte, 8),
		First:   20_779,
		Keys:    make([]byte, 60*32),
		Relays:  []string{"/ip4/192.0.2.1/udp/4001/quic-v1"},
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Add("", "", []byte{})
	f.Add(`"version": 1`, `"version": 2`, []byte{})
	f.Add(`"relays": [`, `"relays": ["","",`, []byte{})
	f.Add("", "", []byte(`{"version":1,"list":null}`))

	f.Fuzz(func(t *testing.T, old, changed string, body []byte) {
		if len(body) == 0 {
			body = bytes.Replace(whole, []byte(old), []byte(changed), 1)
		}
		l, err := parseHostList(body)
		if err != nil {
			if l.Valid() || !errors.Is(err, errHostListFile) && !errors.Is(err, errHostListFileNewer) {
				t.Errorf("%q: %+v, %v", body, l, err)
			}
			return
		}

		if len(l.PublicKeys()) != 60 || len(l.Version) != 8 || len(l.Relays) > 8 {
			t.Errorf("%+v is accepted", l)
		}
		once, err := encodeHostList(l)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := parseHostList(once); err != nil || !reflect.DeepEqual(again, l) {
			t.Errorf("wrote %+v, and read it back as %+v, %v", l, again, err)
		}
	})
}
