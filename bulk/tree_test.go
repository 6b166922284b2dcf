package bulk

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"testing"

	"github.com/peephole-cam/peephole/crypto/label"
)

// TestMerkleRootsAreThoseOfCertificateTransparency uses the leaves and roots of the reference implementation of
// RFC 6962, which RFC 9162 has not changed.
func TestMerkleRootsAreThoseOfCertificateTransparency(t *testing.T) {
	leaves := []string{
		"", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f",
	}
	roots := []string{
		"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
		"6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
		"fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
		"aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
		"d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
		"4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
		"76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
		"ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
		"5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
	}

	var hashes []byte
	leaf := newLeafHash()
	for n, want := range roots {
		if root := merkle(hashes); hex.EncodeToString(root[:]) != want {
			t.Errorf("root of %d leaves is %x, want %s", n, root, want)
		}
		if n == len(leaves) {
			break
		}
		data, err := hex.DecodeString(leaves[n])
		if err != nil {
			t.Fatal(err)
		}
		leaf.Reset()
		leaf.Write(data)
		hashes = leaf.Sum(hashes)
	}
}

func TestTreeHasALeafForEachBlock(t *testing.T) {
	for _, tt := range []struct {
		name   string
		size   int
		blocks int
		last   int // bytes of the last block
	}{
		{"empty", 0, 0, 0},
		{"one byte", 1, 1, 1},
		{"one block less a byte", BlockSize - 1, 1, BlockSize - 1},
		{"one block", BlockSize, 1, BlockSize},
		{"one block and a byte", BlockSize + 1, 2, 1},
		{"three blocks", 3 * BlockSize, 3, BlockSize},
	} {
		t.Run(tt.name, func(t *testing.T) {
			data := testData(tt.size)
			tree, err := NewTree(oddReader{bytes.NewReader(data)})
			if err != nil {
				t.Fatal(err)
			}
			if tree.Size() != int64(tt.size) || tree.blocks() != tt.blocks || countBlocks(tree.Size()) != tt.blocks {
				t.Fatalf("%d bytes in %d blocks", tree.Size(), tree.blocks())
			}
			if tt.blocks > 0 && tree.length(tt.blocks-1) != tt.last {
				t.Errorf("the last block has %d bytes", tree.length(tt.blocks-1))
			}

			leaf := newLeafHash()
			for i := range tt.blocks {
				leaf.Reset()
				leaf.Write(data[i*BlockSize:][:tree.length(i)])
				if !bytes.Equal(leaf.Sum(nil), tree.leaf(i)) {
					t.Errorf("leaf %d is another block's", i)
				}
			}
		})
	}
}

// oddReader reads odd numbers of bytes.
type oddReader struct{ io.Reader }

func (r oddReader) Read(b []byte) (int, error) { return r.Reader.Read(b[:min(len(b), 4099)]) }

func TestRootCommitsToTheSize(t *testing.T) {
	tree, err := NewTree(bytes.NewReader(testData(BlockSize + 1)))
	if err != nil {
		t.Fatal(err)
	}
	if newTree(tree.Size()+1, tree.leaves).Root() == tree.Root() {
		t.Error("two sizes have one root")
	}

	top := merkle(tree.leaves)
	want := label.Hash(label.BulkRoot, []byte{0, 0, 0, 0, 0, 4, 0, 1}, top[:])
	if tree.Root() != want {
		t.Errorf("root %x, want %x", tree.Root(), want)
	}
}

func TestTreeOfTooMuchIsRefused(t *testing.T) {
	const limit = 2 * BlockSize
	if tree, err := growTree(bytes.NewReader(testData(limit)), limit); err != nil || tree.blocks() != 2 {
		t.Errorf("%v", err)
	}
	if _, err := growTree(bytes.NewReader(testData(limit+1)), limit); !errors.Is(err, ErrTooLarge) {
		t.Errorf("err %v", err)
	}
}

func TestTreeReportsWhatItCouldNotRead(t *testing.T) {
	broken := errors.New("broken")
	r := io.MultiReader(bytes.NewReader(testData(10)), failingReader{broken})
	if _, err := NewTree(r); !errors.Is(err, broken) {
		t.Errorf("err %v", err)
	}
}

type failingReader struct{ err error }

func (r failingReader) Read([]byte) (int, error) { return 0, r.err }

// testData returns n bytes that differ from block to block.
func testData(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i) ^ byte(i>>8) ^ byte(i>>16*31)
	}
	return b
}
