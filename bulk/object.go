package bulk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/peephole-cam/peephole/printable"
)

// The errors that a Source returns, and that reach the viewer as what they are.
var (
	// ErrNotFound is returned if the camera offers no such object.
	ErrNotFound = errors.New("the camera has no such thing: list what it offers")
	// ErrChanged is returned if the object is no longer what it was when a transfer of it began.
	ErrChanged = errors.New("it has changed since the transfer began: get it again")
	// ErrBusy is returned if the camera cannot give the object now, and can later.
	ErrBusy = errors.New("the camera is busy: try again later")
)

// Info describes what a camera offers.
type Info struct {
	ID   string `json:"id"`            // 1 to 128 of the characters a-z 0-9 . _ / -
	Name string `json:"name"`          // what a file of it may be called: see CheckName
	Size int64  `json:"size"`          // in bytes, 0 to MaxSize; in a list, -1 if not known yet
	Root Hash   `json:"root,omitzero"` // its Tree's; in a list, zero if not known yet
}

// Object is something that a camera offers. What it holds must not change while it is open.
type Object interface {
	io.ReaderAt
	io.Closer
	Size() int64  // in bytes, as its Tree's
	Name() string // see CheckName
	Tree() *Tree
}

// Source is what a camera offers. All methods may be called by several goroutines. The text of an error reaches the
// viewer.
type Source interface {
	// List returns at most 1,000 descriptions. If they do not fit in a reply of 64 KiB, which holds about 500, the last
	// ones are cut off.
	List(ctx context.Context) ([]Info, error)

	// Open opens an object, which the caller closes. root is what an interrupted transfer had, or zero for whatever is
	// current. Errors, which may be wrapped: ErrNotFound if there is no such object, ErrChanged if there is no longer
	// one with that root, ErrBusy.
	Open(ctx context.Context, id string, root Hash) (Object, error)
}

// NewBytes returns an object in memory. It keeps data, which must not change.
func NewBytes(name string, data []byte) Object {
	tree, err := NewTree(bytes.NewReader(data))
	if err != nil { // data is larger than MaxSize: a mistake in this program
		panic(fmt.Sprintf("offer %d bytes: %v", len(data), err))
	}
	return &memory{bytes.NewReader(data), name, tree}
}

// memory is an object in memory.
type memory struct {
	*bytes.Reader
	name string
	tree *Tree
}

func (m *memory) Close() error { return nil }
func (m *memory) Name() string { return m.name }
func (m *memory) Tree() *Tree  { return m.tree }

const (
	maxID    = 128 // bytes
	idLetter = "abcdefghijklmnopqrstuvwxyz0123456789._/-"
)

// checkID returns nil for the ID of an object.
func checkID(id string) error {
	if id == "" || len(id) > maxID || strings.Trim(id, idLetter) != "" {
		return fmt.Errorf("id %.40q: want 1 to %d of the characters a-z 0-9 . _ / -: %w", id, maxID, ErrMalformed)
	}
	return nil
}

// CheckName returns nil for a name that can be a file's, in a folder of the caller's choice: 1 to 64 printable
// characters (package printable) without separators or anything else that is special in a path, here or elsewhere, and
// without a dot at either end. Otherwise the error is ErrMalformed.
func CheckName(name string) error {
	special := strings.ContainsAny(name, `/\:*?"<>|`) || strings.Trim(name, ".") != name || !filepath.IsLocal(name)
	if special || printable.CheckName(name) != nil {
		return fmt.Errorf("name %.80q cannot be a file's: %w", name, ErrMalformed)
	}
	return nil
}

// check returns nil for what a camera may say about an object; listed allows what a list may leave out.
func (i Info) check(listed bool) error {
	if err := checkID(i.ID); err != nil {
		return err
	}
	if err := CheckName(i.Name); err != nil {
		return err
	}

	switch {
	case i.Size > MaxSize:
		return fmt.Errorf("object %q of %d bytes: %w", i.ID, i.Size, ErrTooLarge)
	case listed && i.Size >= -1, i.Size >= 0 && !i.Root.IsZero():
		return nil
	}
	return fmt.Errorf("object %q lacks its size or root: %w", i.ID, ErrMalformed)
}
