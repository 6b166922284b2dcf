package main

import (
	"bytes"
	"errors"
	"testing"

	"github.com/peephole-cam/peephole/session"
)

func TestRejectionsAreExplained(t *testing.T) {
	const nothing = "nothing was shown: the relay delivered "
	const advice = "; tell the relay's operator, or use another relay ("
	once := session.Rejection{}.Text() + "\n"
	noAnswer := session.ErrNoAnswer
	for _, tt := range []struct {
		name     string
		n, shown int
		err      error
		said     string
		want     string
	}{
		{"an honest relay", 0, 0, noAnswer, "", noAnswer.Error()},
		{"one", 1, 0, noAnswer, once,
			nothing + "1 thing that is not from your camera" + advice + noAnswer.Error() + ")"},
		{"many", 7, 0, errIncomplete, once,
			nothing + "7 things that are not from your camera" + advice + errIncomplete.Error() + ")"},
		{"among a picture", 7, 3, errIncomplete, once, errIncomplete.Error()},
	} {
		var said bytes.Buffer
		r := &rejections{stderr: &said}
		for range tt.n {
			r.count(session.Rejection{})
		}

		if err := r.explain(tt.err, tt.shown); err.Error() != tt.want || !errors.Is(err, tt.err) {
			t.Errorf("%s: %q, want %q", tt.name, err, tt.want)
		}
		if r.explain(nil, tt.shown) != nil {
			t.Errorf("%s: success is an error", tt.name)
		}
		if said.String() != tt.said {
			t.Errorf("%s: said %q, want %q", tt.name, &said, tt.said)
		}
	}
}
