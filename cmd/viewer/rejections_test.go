package main

import (
	"bytes"
	"errors"
	"testing"

	"github.com/peephole-cam/peephole/session"
)

func TestRejections(t *testing.T) {
	for _, tt := range []struct {
		name        string
		n, shown    int
		err         error
		said, ended string
	}{
		{"an honest relay", 0, 0, session.ErrNoAnswer, "", session.ErrNoAnswer.Error()},
		{"one", 1, 0, session.ErrNoAnswer, session.Rejection{}.Text() + "\n",
			"nothing was shown: the relay delivered 1 thing that is not from your camera; tell the relay's operator, or use another relay (" + session.ErrNoAnswer.Error() + ")"},
		{"many", 7, 0, errIncomplete, session.Rejection{}.Text() + "\n",
			"nothing was shown: the relay delivered 7 things that are not from your camera; tell the relay's operator, or use another relay (" + errIncomplete.Error() + ")"},
		{"among a picture", 7, 3, errIncomplete, session.Rejection{}.Text() + "\n", errIncomplete.Error()},
	} {
		var said bytes.Buffer
		r := &rejections{stderr: &said}
		for range tt.n {
			r.add(session.Rejection{})
		}
		if err := r.explain(tt.err, tt.shown); err.Error() != tt.ended || !errors.Is(err, tt.err) {
			t.Errorf("%s: %q, want %q", tt.name, err, tt.ended)
		}
		if r.explain(nil, tt.shown) != nil {
			t.Errorf("%s: success is an error", tt.name)
		}
		if said.String() != tt.said {
			t.Errorf("%s: said %q, want %q", tt.name, &said, tt.said)
		}
	}
}
