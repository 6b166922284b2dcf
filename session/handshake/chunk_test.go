package handshake

import (
	"errors"
	"testing"

	"github.com/peephole-cam/peephole/crypto/sframe"
	"github.com/peephole-cam/peephole/test/sessiontest"
)

// The first picture behind an answer has at most two chunks, and a still at most as many as a mailbox holds. The viewer
// enforces both.
func TestStillHasNoMoreChunksThanAllowed(t *testing.T) {
	for _, tt := range []struct{ most, pieces, refused int }{
		{MaxFirstChunks, MaxFirstChunks, 0},
		{MaxFirstChunks, MaxFirstChunks + 1, MaxFirstChunks + 1},
		{MaxChunks, MaxChunks, 0},
		{MaxChunks, MaxChunks + 1, MaxChunks + 1},
	} {
		key := testSecret(t)
		bodies, err := key.sealChunks(sessiontest.Random((tt.pieces-1)*chunkBytes + 1))
		if err != nil {
			t.Fatal(err)
		}
		a, err := key.NewStillAssembly(tt.most)
		if err != nil {
			t.Fatal(err)
		}

		refused := 0
		for _, b := range bodies {
			if _, err := a.AddChunk(b); err != nil {
				refused++
			}
		}

		if refused != tt.refused {
			t.Errorf("%d of %d pieces were refused with a limit of %d, want %d", refused, tt.pieces, tt.most,
				tt.refused)
		}
	}
}

// The error tells a chunk of another session, which is the relay's doing, from one that only comes again.
func TestChunkThatComesAgainIsNotForeign(t *testing.T) {
	key, other := testSecret(t), testSecret(t)
	bodies, err := key.sealChunks(sessiontest.Random(2 * chunkBytes))
	strange, err2 := other.sealChunks(sessiontest.Random(2 * chunkBytes))
	a, err3 := key.NewStillAssembly(MaxChunks)
	if err := errors.Join(err, err2, err3); err != nil {
		t.Fatal(err)
	}

	for _, step := range []struct {
		name    string
		body    []byte
		want    error
		foreign bool
	}{
		{"a chunk", bodies[0], nil, false},
		{"the same again", bodies[0], sframe.ErrReplayed, false},
		{"another session's", strange[1], sframe.ErrOpen, true},
		{"the header alone", bodies[1][:1], sframe.ErrHeader, true},
		{"nothing", nil, ErrStill, true},
		{"a record", []byte{1}, ErrStill, true},
	} {
		_, err := a.AddChunk(step.body)
		if !errors.Is(err, step.want) || IsForeign(err) != step.foreign {
			t.Errorf("%s: %v, foreign %t; want %v, foreign %t", step.name, err, IsForeign(err), step.want, step.foreign)
		}
	}
}
