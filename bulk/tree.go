package bulk

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"math/bits"

	"github.com/peephole-cam/peephole/crypto/label"
)

const (
	// BlockSize is the size of every block of an object but the last, in bytes.
	BlockSize = 256 << 10
	// MaxSize is the size of the largest object, in bytes.
	MaxSize = 4 << 30

	maxBlocks = MaxSize / BlockSize
	leafSize  = sha256.Size
	pieceSize = 32 << 10 // bytes that are read, and written to a stream, at a time
)

// ErrTooLarge is returned for an object of more than MaxSize bytes.
var ErrTooLarge = errors.New("it is larger than 4 GiB: offer it in parts")

// The prefixes that tell a leaf from a node (RFC 9162, section 2.1.1).
var (
	leafPrefix = []byte{0}
	nodePrefix = []byte{1}
)

// Tree holds the hashes of all blocks of an object. It never changes, so many goroutines may use it at once.
type Tree struct {
	size   int64
	leaves []byte // leafSize bytes for each block
	root   Hash
}

// NewTree reads an object to its end and returns its tree. Errors: ErrTooLarge, r's own.
func NewTree(r io.Reader) (*Tree, error) { return growTree(r, MaxSize) }

// growTree is NewTree for an object of at most limit bytes.
func growTree(r io.Reader, limit int64) (*Tree, error) {
	var size int64
	var leaves []byte
	leaf := newLeafHash()
	buffer := make([]byte, pieceSize)
	limited := io.LimitReader(r, limit+1)

	for {
		leaf.Reset()
		n, err := io.CopyBuffer(writerOnly{leaf}, io.LimitReader(limited, BlockSize), buffer)
		if err != nil {
			return nil, fmt.Errorf("read object: %w", err)
		}
		if n == 0 {
			return newTree(size, leaves), nil
		}

		if size += n; size > limit {
			return nil, ErrTooLarge
		}
		leaves = leaf.Sum(leaves)
	}
}

// writerOnly hides all that would keep io.CopyBuffer from using its buffer.
type writerOnly struct{ io.Writer }

// newTree returns the tree of an object of which the leaves are known; there must be one for each block.
func newTree(size int64, leaves []byte) *Tree {
	var be [8]byte
	binary.BigEndian.PutUint64(be[:], uint64(size))
	top := merkle(leaves)
	return &Tree{size, leaves, label.Hash(label.BulkRoot, be[:], top[:])}
}

// Root returns what the object is known by. It commits to the size as well as to every block: it is the labelled hash
// (package label) of the size as a big-endian u64 and the root of the Merkle tree.
func (t *Tree) Root() Hash { return t.root }

// Size returns the object's size in bytes, 0 to MaxSize.
func (t *Tree) Size() int64 { return t.size }

// blocks returns the number of blocks.
func (t *Tree) blocks() int { return len(t.leaves) / leafSize }

// leaf returns the hash of a block.
func (t *Tree) leaf(block int) []byte { return t.leaves[block*leafSize:][:leafSize] }

// length returns the size of a block in bytes.
func (t *Tree) length(block int) int {
	return int(min(BlockSize, t.size-int64(block)*BlockSize))
}

// countBlocks returns the number of blocks of an object of size bytes.
func countBlocks(size int64) int { return int((size + BlockSize - 1) / BlockSize) }

// merkle returns the root of the Merkle tree over leaves, which are hashed already (RFC 9162, section 2.1.1).
func merkle(leaves []byte) (root [leafSize]byte) {
	switch n := len(leaves) / leafSize; n {
	case 0:
		return sha256.Sum256(nil)
	case 1:
		return [leafSize]byte(leaves)
	default:
		k := 1 << (bits.Len(uint(n-1)) - 1) // the largest power of two below n
		left, right := merkle(leaves[:k*leafSize]), merkle(leaves[k*leafSize:])

		var node [1 + 2*leafSize]byte
		copy(node[:], nodePrefix)
		copy(node[1:], left[:])
		copy(node[1+leafSize:], right[:])
		return sha256.Sum256(node[:])
	}
}

// leafHash hashes one block after another: Reset, then Write, then Sum.
type leafHash struct{ hash.Hash }

func newLeafHash() leafHash {
	h := leafHash{sha256.New()}
	h.Reset()
	return h
}

// Reset begins a new leaf.
func (h leafHash) Reset() {
	h.Hash.Reset()
	h.Write(leafPrefix)
}
