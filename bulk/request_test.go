package bulk

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestRequestsAreThoseOfTheProtocol(t *testing.T) {
	root := Hash(bytes.Repeat([]byte{0xfb}, 32))
	for _, tt := range []struct {
		request request
		want    string
	}{
		{request{List: true}, "\x00\x0d" + `{"list":true}`},
		{request{Get: &getRequest{ID: "log"}}, "\x00\x14" + `{"get":{"id":"log"}}`},
		{
			request{Get: &getRequest{ID: "rec/1.h264", Root: root, From: 7, Count: 2}},
			"\x00\x6c" + `{"get":{"id":"rec/1.h264","root":"-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_s",` +
				`"from":7,"count":2}}`,
		},
	} {
		wire, err := appendRequest(nil, tt.request)
		want := string([]byte{0, byte(len(tt.want) - 2)}) + tt.want[2:]
		if err != nil || string(wire) != want {
			t.Errorf("%q, %v, want %q", wire, err, want)
		}

		got, err := readRequest(bytes.NewReader(wire))
		if err != nil || got.List != tt.request.List || got.Get != nil && *got.Get != *tt.request.Get {
			t.Errorf("%q is read as %+v, %v", wire, got, err)
		}
	}
}

func TestMalformedRequests(t *testing.T) {
	for _, body := range []string{
		``, `{}`, `null`, `[]`, `{"list":false}`, `{"list":true,"get":{"id":"log"}}`,
		`{"get":{}}`, `{"get":{"id":"LOG"}}`,
		`{"get":{"id":"log","from":-1}}`, `{"get":{"id":"log","from":16385}}`, `{"get":{"id":"log","count":-1}}`,
		`{"get":{"id":"log","count":16385}}`, `{"get":{"id":"log","from":1e3}}`, `{"get":{"id":"log","from":0.5}}`,
		`{"get":{"id":"log","root":""}}`, `{"get":{"id":"log","root":"AA"}}`,
		`{"get":{"id":"log","root":"` + strings.Repeat("A", 42) + `B"}}`, // bits that mean nothing
		`{"get":{"id":"log","root":"` + strings.Repeat("+", 43) + `"}}`,
		`{"get":{"id":"` + strings.Repeat("a", 129) + `"}}`,
	} {
		if r, err := parseRequest([]byte(body)); !errors.Is(err, ErrMalformed) || r != (request{}) {
			t.Errorf("%s: %+v, %v", body, r, err)
		}
	}
	if _, err := appendRequest(nil, request{Get: &getRequest{ID: strings.Repeat("a", maxRequest)}}); err == nil {
		t.Error("a request of more than 1 KiB is written")
	}
}

func TestSpanStaysInTheObject(t *testing.T) {
	for _, tt := range []struct{ first, count, n, from, to int }{
		{0, 0, 0, 0, 0},
		{0, 0, 10, 0, 10},
		{3, 0, 10, 3, 10},
		{3, 2, 10, 3, 5},
		{3, maxBlocks, 10, 3, 10},
		{10, 0, 10, 10, 10},
		{maxBlocks, 0, 10, 10, 10},
		{maxBlocks, maxBlocks, maxBlocks, maxBlocks, maxBlocks},
	} {
		g := &getRequest{From: tt.first, Count: tt.count}
		if from, to := g.span(tt.n); from != tt.from || to != tt.to {
			t.Errorf("%+v of %d: %d to %d", g, tt.n, from, to)
		}
	}
}

func TestNames(t *testing.T) {
	for _, good := range []string{
		"a", "peephole-log-2026-01-02T03-04-05Z.txt", "Bild der Tür.h264", strings.Repeat("ü", 64),
	} {
		if err := CheckName(good); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []string{
		"", ".", "..", ".hidden", "dot.", " space", "a/b", `a\b`, "a:b", "a\nb", "a\x00b", "a\u202eb", "what?", "\xff",
		strings.Repeat("a", 65), "/etc/passwd", "c:nul",
	} {
		if err := CheckName(bad); !errors.Is(err, ErrMalformed) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestReplyOfTooManyObjectsIsMalformed(t *testing.T) {
	var list strings.Builder
	for range maxListed + 1 {
		fmt.Fprintf(&list, `,{"id":"a","name":"b","size":-1}`)
	}
	text := `{"objects":[` + list.String()[1:] + `]}`
	if len(text) > maxReply {
		t.Fatalf("%d bytes", len(text))
	}
	if _, err := parseReply([]byte(text)); !errors.Is(err, ErrMalformed) {
		t.Error(err)
	}
}
