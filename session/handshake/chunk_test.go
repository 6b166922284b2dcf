package handshake

import (
	"testing"

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
