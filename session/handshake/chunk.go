package handshake

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/peephole-cam/peephole/crypto/sframe"
	"github.com/peephole-cam/peephole/media"
)

// A still is one picture that travels through signaling alone. It is sealed like a frame of a session and cut into
// chunks (doc/protocol.md, section 6.1).

const (
	chunkType  = 2 // envelopes begin with 1, records with recordVersion
	chunkBytes = 32000
	maxChunk   = 1 + 2 + chunkBytes + sframe.MaxOverhead // with type and number of chunks

	// MaxChunks is how many chunks a still has at most. Together with the answer they stay below a mailbox's megabyte.
	MaxChunks = 28

	// MaxFirstChunks is how many chunks the picture behind an answer has at most. It must not hold up the candidates
	// that follow it.
	MaxFirstChunks = 2

	// MaxStill and MaxFirstPicture are the sizes, in bytes, of the largest pictures that fit into that many chunks.
	MaxStill        = MaxChunks*chunkBytes - 1024
	MaxFirstPicture = MaxFirstChunks*chunkBytes - frameHeaderSize
)

// ErrStill is returned for a chunk that is malformed or does not belong to the still.
var ErrStill = errors.New("malformed still")

// SealStill cuts a picture into chunks and seals them. The picture answers a challenge.
func (s *Secret) SealStill(unit media.AccessUnit, answered []byte) (bodies [][]byte, err error) {
	if len(answered) != challengeSize {
		return nil, fmt.Errorf("seal still: challenge of %d bytes: %w", len(answered), ErrMalformed)
	}
	return s.sealChunks(appendFrame(nil, unit, answerOf(unit, Challenge(answered))))
}

// sealChunks cuts a frame's plaintext into chunks and seals them. Each is an SFrame ciphertext whose CTR is its place,
// so that the viewer can refuse anything else that is delivered among them, and lose nothing.
func (s *Secret) sealChunks(plaintext []byte) (bodies [][]byte, err error) {
	sealer, err := s.frameSender(stillTrack)
	if err != nil {
		return nil, err
	}

	n := (len(plaintext) + chunkBytes - 1) / chunkBytes
	for i := range n {
		chunk := binary.BigEndian.AppendUint16(nil, uint16(n))
		chunk = append(chunk, plaintext[i*chunkBytes:min((i+1)*chunkBytes, len(plaintext))]...)
		body, err := sealer.Seal([]byte{chunkType}, s.binding(stillTrack), chunk)
		if err != nil {
			return nil, fmt.Errorf("seal still: %w", err)
		}
		bodies = append(bodies, body)
	}

	return bodies, nil
}

// StillAssembly opens the chunks of one still and puts them together.
type StillAssembly struct {
	receiver *sframe.Receiver
	binding  []byte
	max      int // chunks
	pieces   [][]byte
	missing  int
}

// NewStillAssembly returns an assembly for a still of at most maxChunks chunks.
func (s *Secret) NewStillAssembly(maxChunks int) (*StillAssembly, error) {
	receiver, err := s.frameReceiver(stillTrack)
	if err != nil {
		return nil, err
	}
	return &StillAssembly{receiver: receiver, binding: s.binding(stillTrack), max: maxChunks}, nil
}

// AddChunk opens a chunk. It returns the frame's plaintext once that is complete.
func (a *StillAssembly) AddChunk(body []byte) (plaintext []byte, err error) {
	if len(body) == 0 || body[0] != chunkType {
		return nil, ErrStill
	}
	chunk, place, err := a.receiver.Open(nil, a.binding, body[1:])
	if err != nil {
		return nil, err
	}
	if len(chunk) <= 2 || len(chunk) > 2+chunkBytes {
		return nil, ErrStill
	}

	n := int(binary.BigEndian.Uint16(chunk))
	if a.pieces == nil && n > 0 && n <= a.max {
		a.pieces, a.missing = make([][]byte, n), n
	}
	if n != len(a.pieces) || place >= uint64(n) {
		return nil, ErrStill
	}

	a.pieces[place] = chunk[2:]
	if a.missing--; a.missing > 0 {
		return nil, nil
	}
	return bytes.Join(a.pieces, nil), nil
}
