package bulk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strings"
	"syscall"

	"github.com/peephole-cam/peephole/crypto/identity"
)

// ErrDiskFull is returned if the disk has no room for a block. What has arrived is kept.
var ErrDiskFull = errors.New("the disk is full: make room there and try again; what has arrived is kept")

const (
	// partSuffix ends the name of a file that is not whole.
	partSuffix = ".part"
	// originSuffix ends the name of the file beside it that says what it is a part of: its ID and root, in a line.
	originSuffix = ".part.of"
)

// File is a download under way on disk: PATH.part, which its owner alone can read, until it is whole and verified;
// then it is PATH, and replaces what was there. What an earlier attempt left in PATH.part is verified again before it
// counts, and PATH.part.of says which object that attempt was getting. Only one goroutine may use a File at a time, and
// only one File may be open for a path.
type File struct {
	path string
	part *os.File // nil once closed
	info Info     // of the object whose tree follows
	tree *Tree    // of the transfer; nil until the camera has described it
	have []bool   // the blocks of tree that are there and verified
	done int64    // bytes of those

	before origin // of what an earlier attempt was getting; zero if there was none
}

// origin identifies an object exactly, even if the camera now offers another one under the same ID.
type origin struct {
	id   string
	root Hash
}

// OpenFile opens PATH.part, or makes it. What is at path stays as it is until the download is whole.
func OpenFile(path string) (*File, error) {
	name := path + partSuffix
	before, err := os.Lstat(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open download: %w", err)
	}
	flags := os.O_RDWR | os.O_CREATE
	if before == nil {
		flags |= os.O_EXCL
	} else if !before.Mode().IsRegular() {
		return nil, fmt.Errorf("open download: %s is no file: remove it, or choose another name", name)
	}

	part, err := os.OpenFile(name, flags, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open download: %w", asDiskFull(err))
	}
	if err := keepPrivate(part, before); err != nil {
		return nil, errors.Join(fmt.Errorf("open download: %w", err), part.Close())
	}
	return &File{path: path, part: part, before: readOrigin(path + originSuffix)}, nil
}

// readOrigin reads what an earlier attempt was getting. A file that cannot be read is as good as none.
func readOrigin(name string) (of origin) {
	line, err := identity.ReadFile(name)
	if err != nil {
		return origin{}
	}
	id, root, _ := strings.Cut(strings.TrimSpace(string(line)), " ")
	if checkID(id) != nil || of.root.UnmarshalText([]byte(root)) != nil {
		return origin{}
	}
	of.id = id
	return of
}

// remember writes what the part is a part of, for another attempt.
func (f *File) remember() error {
	root, err := f.tree.Root().MarshalText()
	if err == nil {
		err = identity.WriteFile(f.path+originSuffix, fmt.Appendf(nil, "%s %s\n", f.info.ID, root))
	}
	if err != nil {
		return fmt.Errorf("save what the download is: %w", asDiskFull(err))
	}
	f.before = origin{f.info.ID, f.tree.Root()}
	return nil
}

// keepPrivate makes sure that part is the file that was there before, unless it is new, and that its owner alone reads
// it.
func keepPrivate(part *os.File, before fs.FileInfo) error {
	now, err := part.Stat()
	if err != nil {
		return err
	}
	if before != nil && !os.SameFile(before, now) {
		return fmt.Errorf("%s was replaced just now: try again", part.Name())
	}
	if now.Mode().Perm()&0o077 != 0 && runtime.GOOS != "windows" {
		return part.Chmod(0o600)
	}
	return nil
}

// Close closes the file. A download that is not whole stays in PATH.part, unless it is empty.
func (f *File) Close() error {
	if f.part == nil {
		return nil
	}
	empty, err := f.empty()
	err = errors.Join(err, f.part.Close())
	if f.part = nil; err == nil && empty {
		err = errors.Join(os.Remove(f.path+partSuffix), removeIfThere(f.path+originSuffix))
	}
	if err != nil {
		return fmt.Errorf("close download: %w", asDiskFull(err))
	}
	return nil
}

func removeIfThere(name string) error {
	if err := os.Remove(name); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// empty reports whether nothing is in the part.
func (f *File) empty() (bool, error) {
	info, err := f.part.Stat()
	if err != nil {
		return false, err
	}
	return info.Size() == 0, nil
}

// Done returns how many bytes are there and verified, 0 before the first Fetch.
func (f *File) Done() int64 { return f.done }

// forget makes the file take whatever object comes next. What is on the disk is verified against that one.
func (f *File) forget() { f.info, f.tree, f.have, f.done = Info{}, nil, nil, 0 }

// giveUp makes the file take what the camera offers now, since it no longer has what an earlier attempt was getting.
func (f *File) giveUp() {
	f.forget()
	f.before = origin{}
}

// next returns what to ask a camera for: the first blocks that are missing, or none if the file has something of an
// object whose tree is not known yet.
func (f *File) next(id string) (getRequest, error) {
	if f.tree == nil {
		empty, err := f.empty()
		if err != nil || empty {
			return getRequest{ID: id}, err
		}
		ask := getRequest{ID: id, From: maxBlocks}
		if f.before.id == id {
			ask.Root = f.before.root
		}
		return ask, nil
	}

	from := 0
	for from < len(f.have) && f.have[from] {
		from++
	}
	to := from
	for to < len(f.have) && !f.have[to] {
		to++
	}
	return getRequest{ID: id, Root: f.tree.Root(), From: from, Count: to - from}, nil
}

// whole reports whether every block is there.
func (f *File) whole() bool { return f.tree != nil && f.done == f.tree.Size() }

// begin prepares the file for the object that tree describes, and verifies what is already on disk. It calls progress
// for every block that matches.
func (f *File) begin(ctx context.Context, info Info, tree *Tree, progress func()) error {
	f.info, f.tree, f.have, f.done = info, tree, make([]bool, tree.blocks()), 0
	stat, err := f.part.Stat()
	if err != nil {
		return fmt.Errorf("verify download: %w", err)
	}
	onDisk := stat.Size()
	if onDisk > tree.Size() {
		if err := f.part.Truncate(tree.Size()); err != nil {
			return fmt.Errorf("shorten download: %w", asDiskFull(err))
		}
	}

	if err := f.remember(); err != nil {
		return err
	}

	leaf := newLeafHash()
	var buffer []byte
	var sum [leafSize]byte
	for i := range f.have {
		length := tree.length(i)
		if int64(i)*BlockSize+int64(length) > onDisk {
			break
		}
		if ctx.Err() != nil {
			f.forget() // what was not looked at is not missing
			return context.Cause(ctx)
		}

		if buffer == nil {
			buffer = make([]byte, BlockSize)
		}
		if _, err := f.part.ReadAt(buffer[:length], int64(i)*BlockSize); err != nil {
			return fmt.Errorf("verify download: %w", err)
		}
		leaf.Reset()
		leaf.Write(buffer[:length])
		if bytes.Equal(leaf.Sum(sum[:0]), tree.leaf(i)) {
			f.note(i)
			progress()
		}
	}
	return nil
}

// write writes a block, which must be verified.
func (f *File) write(block int, data []byte) error {
	if _, err := f.part.WriteAt(data, int64(block)*BlockSize); err != nil {
		return fmt.Errorf("write download: %w", asDiskFull(err))
	}
	f.note(block)
	return nil
}

// note counts a block that is there.
func (f *File) note(block int) {
	if !f.have[block] {
		f.have[block] = true
		f.done += int64(f.tree.length(block))
	}
}

// finish gives a whole file its name, once it is on the disk for good.
func (f *File) finish() error {
	if err := f.part.Sync(); err != nil {
		return fmt.Errorf("save download: %w", asDiskFull(err))
	}
	err := f.part.Close() // Windows cannot rename an open file
	f.part = nil
	if err == nil {
		err = errors.Join(identity.MoveFile(f.path+partSuffix, f.path), removeIfThere(f.path+originSuffix))
	}
	if err != nil {
		return fmt.Errorf("save download: %w", asDiskFull(err))
	}
	return nil
}

// Windows' errors of a full disk: ERROR_HANDLE_DISK_FULL and ERROR_DISK_FULL.
const (
	windowsHandleFull syscall.Errno = 39
	windowsDiskFull   syscall.Errno = 112
)

// asDiskFull makes an error of a full disk ErrDiskFull.
func asDiskFull(err error) error {
	full := errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
	if runtime.GOOS == "windows" {
		full = full || errors.Is(err, windowsHandleFull) || errors.Is(err, windowsDiskFull)
	}
	if full {
		return fmt.Errorf("%w (%w)", ErrDiskFull, err)
	}
	return err
}
