package bulk

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/test/bubble"
)

func openTestFile(t testing.TB, path string) *File {
	t.Helper()
	f, err := OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

// wantFile fails unless the file holds want, and no part is left.
func wantFile(t testing.TB, path string, want []byte) {
	t.Helper()
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if _, err := os.Stat(path + partSuffix); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a part is left: %v", err)
	}
}

// countingObject counts the bytes that are read of it.
type countingObject struct {
	Object
	read chan int
}

func (o countingObject) ReadAt(b []byte, at int64) (int, error) {
	n, err := o.Object.ReadAt(b, at)
	o.read <- n
	return n, err
}

func (o countingObject) sum() (sum int) {
	for {
		select {
		case n := <-o.read:
			sum += n
		default:
			return sum
		}
	}
}

func newCounting(o Object) countingObject { return countingObject{o, make(chan int, 1<<12)} }

func TestFetchBringsTheWholeObject(t *testing.T) {
	for _, tt := range []struct {
		name string
		size int
		busy bool
	}{
		{"empty", 0, false},
		{"one byte", 1, false},
		{"one block", BlockSize, false},
		{"many blocks", 20*BlockSize + 12345, false},
		{"while a picture is sent", 3000, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := connect(t)
			data := testData(tt.size)
			o := NewBytes("log.txt", data)
			l.serve(t, shelf{"log": o}, func() bool { return tt.busy })
			path := filepath.Join(t.TempDir(), "log")
			f := openTestFile(t, path)

			last := int64(-1)
			info, err := l.viewer.Fetch(t.Context(), "log", f, func(done, size int64) {
				if done <= last || size != int64(len(data)) {
					t.Errorf("%d after %d, of %d", done, last, size)
				}
				last = done
			})
			if want := (Info{"log", "log.txt", int64(tt.size), o.Tree().Root()}); err != nil || info != want {
				t.Fatalf("%+v, %v", info, err)
			}
			wantFile(t, path, data)
			if tt.size > 0 && last != int64(tt.size) {
				t.Errorf("the last progress is %d", last)
			}

			if _, err := l.viewer.Fetch(t.Context(), "log", f, nil); !errors.Is(err, fs.ErrClosed) {
				t.Errorf("fetch into a finished file: %v", err)
			}
		})
	}
}

func TestFetchesShareAConnection(t *testing.T) {
	l := connect(t)
	data := testData(3 * BlockSize)
	l.serve(t, shelf{"log": NewBytes("log", data)}, idle)
	dir := t.TempDir()
	errs := make(chan error)
	names := []string{"a", "b", "c", "d", "e", "f"} // more than maxStreams
	for _, name := range names {
		f := openTestFile(t, filepath.Join(dir, name))
		go func() {
			_, err := l.viewer.Fetch(t.Context(), "log", f, nil)
			errs <- err
		}()
	}

	for range names {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	for _, name := range names {
		wantFile(t, filepath.Join(dir, name), data)
	}
}

// TestFetchGoesOnAfterACut: neither the same file nor one of another process asks again for what it has.
func TestFetchGoesOnAfterACut(t *testing.T) {
	for _, reopened := range []bool{false, true} {
		t.Run(map[bool]string{false: "same file", true: "file opened again"}[reopened], func(t *testing.T) {
			data := testData(80*BlockSize + 1)
			o := newCounting(NewBytes("log", data))
			path := filepath.Join(t.TempDir(), "log")
			f := openTestFile(t, path)

			l := connect(t)
			l.serve(t, shelf{"log": o}, idle)
			var had int64
			_, err := l.viewer.Fetch(t.Context(), "log", f, func(done, _ int64) {
				if had = done; done == 10*BlockSize {
					l.path.Close()
				}
			})
			if !errors.Is(err, ErrBroken) || had < 10*BlockSize {
				t.Fatalf("%v after %d bytes", err, had)
			}
			if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("a file that is not whole has its name: %v", err)
			}

			if reopened {
				if err := f.Close(); err != nil {
					t.Fatal(err)
				}
				f = openTestFile(t, path)
			}
			l = connect(t)
			o = newCounting(NewBytes("log", data)) // the first server may still read ahead
			l.serve(t, shelf{"log": o}, idle)
			if _, err := l.viewer.Fetch(t.Context(), "log", f, nil); err != nil {
				t.Fatal(err)
			}
			wantFile(t, path, data)
			if read := int64(o.sum()); read != int64(len(data))-had {
				t.Errorf("%d bytes came again", read-(int64(len(data))-had))
			}
		})
	}
}

func TestFetchStopsWithItsContext(t *testing.T) {
	l := connect(t)
	l.serve(t, shelf{"log": NewBytes("log", testData(40*BlockSize))}, idle)
	f := openTestFile(t, filepath.Join(t.TempDir(), "log"))
	ctx, cancel := context.WithCancel(t.Context())
	_, err := l.viewer.Fetch(ctx, "log", f, func(done, _ int64) { cancel() })
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if _, err := l.viewer.Fetch(t.Context(), "log", f, nil); err != nil { // the connection is as good as before
		t.Error(err)
	}
}

// TestAnotherProcessGetsTheSame: what is offered by an ID may have changed since, but the camera still has what the
// part is a part of.
func TestAnotherProcessGetsTheSame(t *testing.T) {
	old, current := testData(5*BlockSize), testData(3*BlockSize)
	path := filepath.Join(t.TempDir(), "log")
	f, err := OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	l := connect(t)
	l.serve(t, shelf{"log": NewBytes("log", old)}, idle)
	ctx, cancel := context.WithCancel(t.Context())
	_, err = l.viewer.Fetch(ctx, "log", f, func(int64, int64) { cancel() })
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}

	l = connect(t)
	l.serve(t, &kept{old: NewBytes("log", old), current: NewBytes("log", current)}, idle)
	if _, err := l.viewer.Fetch(t.Context(), "log", openTestFile(t, path), nil); err != nil {
		t.Fatal(err)
	}
	wantFile(t, path, old)
	if _, err := os.Stat(path + originSuffix); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the name of the part is left: %v", err)
	}
}

// kept offers one object, and has an older one of the same ID.
type kept struct{ old, current Object }

func (k *kept) List(context.Context) ([]Info, error) { return nil, nil }

func (k *kept) Open(ctx context.Context, id string, root Hash) (Object, error) {
	if root == k.old.Tree().Root() {
		return shelf{id: k.old}.Open(ctx, id, root)
	}
	return shelf{id: k.current}.Open(ctx, id, root)
}

// TestPictureComesFirst: a camera that sends a picture sends what is fetched more slowly than the path allows.
func TestPictureComesFirst(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		took := func(busy bool) time.Duration {
			l := connect(t)
			l.serve(t, shelf{"log": NewBytes("log", testData(4*BlockSize))}, func() bool { return busy })
			began := time.Now()
			f := openTestFile(t, filepath.Join(t.TempDir(), "log"))
			if _, err := l.viewer.Fetch(t.Context(), "log", f, nil); err != nil {
				t.Fatal(err)
			}
			return time.Since(began)
		}

		if free, held := took(false), took(true); held < 50*time.Millisecond || held < 2*free {
			t.Errorf("1 MiB takes %v beside a picture, and %v without one", held, free)
		}
	})
}

// changing is another object whenever it is opened for the current one, and keeps only that.
type changing struct{ versions []Object }

func (c *changing) List(context.Context) ([]Info, error) { return nil, nil }

func (c *changing) Open(ctx context.Context, id string, root Hash) (Object, error) {
	if root.IsZero() && len(c.versions) > 1 {
		c.versions = c.versions[1:]
	}
	return shelf{id: c.versions[0]}.Open(ctx, id, root)
}

func TestChangedObjectStartsOver(t *testing.T) {
	first, second := testData(5*BlockSize), slices.Clone(testData(5*BlockSize))
	second[2*BlockSize]++ // and the other blocks are the same
	path := filepath.Join(t.TempDir(), "log")
	f := openTestFile(t, path)

	l := connect(t)
	stop := l.serve(t, shelf{"log": NewBytes("log", first)}, idle)
	ctx, cancel := context.WithCancel(t.Context())
	_, err := l.viewer.Fetch(ctx, "log", f, func(done, _ int64) {
		if done >= 3*BlockSize {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	_ = stop()

	o := newCounting(NewBytes("log", second))
	l.serve(t, shelf{"log": o}, idle)
	if _, err := l.viewer.Fetch(t.Context(), "log", f, nil); err != nil {
		t.Fatal(err)
	}
	wantFile(t, path, second)
	if read := o.sum(); read != 3*BlockSize { // the changed block, and the two that had not come
		t.Errorf("%d bytes came", read)
	}
}

func TestObjectThatKeepsChangingIsGivenUp(t *testing.T) {
	l := connect(t)
	var versions []Object
	for i := range 10 {
		versions = append(versions, NewBytes("log", bytes.Repeat([]byte{byte(i)}, 1000)))
	}
	path := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(path+partSuffix, []byte("something"), 0o600); err != nil {
		t.Fatal(err)
	}
	// what is asked for by root is never there any more
	l.serve(t, alwaysChanged{&changing{versions}}, idle)
	if _, err := l.viewer.Fetch(t.Context(), "log", openTestFile(t, path), nil); !errors.Is(err, ErrChanged) {
		t.Error(err)
	}
}

type alwaysChanged struct{ *changing }

func (a alwaysChanged) Open(ctx context.Context, id string, root Hash) (Object, error) {
	if !root.IsZero() {
		return nil, ErrChanged
	}
	return a.changing.Open(ctx, id, root)
}

func TestAnotherObjectInTheSameFileStartsOver(t *testing.T) {
	l := connect(t)
	picture := testData(1000)
	l.serve(t, shelf{"log": NewBytes("log", testData(5*BlockSize)), "picture": NewBytes("p", picture)}, idle)
	path := filepath.Join(t.TempDir(), "file")
	f := openTestFile(t, path)
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := l.viewer.Fetch(ctx, "log", f, func(int64, int64) { cancel() }); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if _, err := l.viewer.Fetch(t.Context(), "picture", f, nil); err != nil {
		t.Fatal(err)
	}
	wantFile(t, path, picture)
}

// refusing refuses everything.
type refusing struct{ err error }

func (r refusing) List(context.Context) ([]Info, error)               { return nil, r.err }
func (r refusing) Open(context.Context, string, Hash) (Object, error) { return nil, r.err }

func TestRefusalsReachTheViewer(t *testing.T) {
	for _, tt := range []struct {
		name      string
		err, want error
		text      string
	}{
		{"not found", ErrNotFound, ErrNotFound, ""},
		{"changed", ErrChanged, ErrChanged, ""},
		{"busy", ErrBusy, ErrBusy, ""},
		{"anything else", errors.New("broken card\x1b[2J: replace it"), ErrFailed, "broken card?[2J: replace it"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := connect(t)
			l.serve(t, refusing{tt.err}, idle)
			_, err := l.viewer.Fetch(t.Context(), "log", openTestFile(t, filepath.Join(t.TempDir(), "log")), nil)
			if !errors.Is(err, tt.want) || !bytes.Contains([]byte(err.Error()), []byte(tt.text)) {
				t.Errorf("fetch: %v", err)
			}

			if _, err := l.viewer.List(t.Context()); !errors.Is(err, tt.want) {
				t.Errorf("list: %v", err)
			}
		})
	}
}

// brokenObject fails in its second block.
type brokenObject struct{ Object }

func (o brokenObject) ReadAt(b []byte, at int64) (int, error) {
	if at >= BlockSize {
		return 0, errors.New("the card is broken")
	}
	return o.Object.ReadAt(b, at)
}

// sizedObject says that it has another size than its tree.
type sizedObject struct{ Object }

func (o sizedObject) Size() int64 { return o.Object.Size() + 1 }

func TestObjectThatCannotBeReadFails(t *testing.T) {
	l := connect(t)
	broken := brokenObject{NewBytes("log", testData(3*BlockSize))}
	named := NewBytes("../log", testData(3))
	l.serve(t, shelf{"broken": broken, "sized": sizedObject{NewBytes("log", testData(3))}, "named": named}, idle)

	f := openTestFile(t, filepath.Join(t.TempDir(), "log"))
	if _, err := l.viewer.Fetch(t.Context(), "broken", f, nil); !errors.Is(err, ErrFailed) {
		t.Errorf("broken: %v", err)
	}
	if f.done > BlockSize { // what had arrived before the failure may be lost
		t.Errorf("%d bytes came", f.done)
	}
	if _, err := l.viewer.Fetch(t.Context(), "sized", f, nil); !errors.Is(err, ErrChanged) {
		t.Errorf("sized: %v", err)
	}
	if _, err := l.viewer.Fetch(t.Context(), "named", f, nil); !errors.Is(err, ErrFailed) {
		t.Errorf("named: %v", err)
	}
	if _, err := l.viewer.Fetch(t.Context(), "NAMED", f, nil); !errors.Is(err, ErrMalformed) {
		t.Errorf("bad id: %v", err)
	}
}

// answer is what a hostile camera sends to every request.
func (l *line) answer(t testing.TB, wire []byte, fin bool) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})

	go func() {
		defer close(ended)
		for {
			s, err := l.camera.quic.AcceptStream(ctx)
			if err != nil {
				return
			}
			_, _ = s.Write(wire)
			if fin {
				_ = s.Close()
			}
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
}

func TestHostileCamera(t *testing.T) {
	data := testData(3 * BlockSize)
	tree := NewBytes("log", data).Tree()
	info := Info{"log", "log", tree.Size(), tree.Root()}
	begin := func(i Info, leaves []byte) []byte {
		wire, err := appendReply(nil, reply{Object: &i})
		if err != nil {
			t.Fatal(err)
		}
		return append(wire, leaves...)
	}
	raw := func(text string) []byte {
		return append(binary.BigEndian.AppendUint32(nil, uint32(len(text))), text...)
	}
	whole := slices.Concat(begin(info, tree.leaves), data)
	forged := slices.Clone(whole)
	forged[len(whole)-BlockSize-1]++ // the last byte of the second block
	huge, small := info, info
	huge.Size = MaxSize + 1
	small.Size--

	for _, tt := range []struct {
		name string
		wire []byte
		fin  bool
		want error
		done int64 // bytes that are written
	}{
		{"forged block", forged, true, ErrForged, BlockSize},
		{"forged leaves", begin(info, slices.Concat(tree.leaves[32:], tree.leaves[:32])), true, ErrForged, 0},
		{"forged size", begin(small, tree.leaves), true, ErrForged, 0},
		{"one byte too few", whole[:len(whole)-1], true, ErrMalformed, 2 * BlockSize},
		{"one byte too many", append(slices.Clone(whole), 0), true, ErrMalformed, 3 * BlockSize},
		{"too few leaves", begin(info, tree.leaves[32:]), true, ErrMalformed, 0},
		{"nothing", nil, true, ErrMalformed, 0},
		{"half a length", []byte{0, 0}, true, ErrMalformed, 0},
		{"oversized reply", binary.BigEndian.AppendUint32(nil, maxReply+1), false, ErrMalformed, 0},
		{"endless reply", []byte{255, 255, 255, 255}, false, ErrMalformed, 0},
		{"oversized object", begin(huge, nil), false, ErrTooLarge, 0},
		{"other object", begin(Info{"picture", "log", tree.Size(), tree.Root()}, tree.leaves), false, ErrMalformed, 0},
		{"no root", begin(Info{"log", "log", tree.Size(), Hash{}}, tree.leaves), false, ErrMalformed, 0},
		{"name with a separator", begin(Info{"log", "../log", tree.Size(), tree.Root()}, nil), false, ErrMalformed, 0},
		{"list", raw(`{"objects":[]}`), true, ErrMalformed, 0},
		{"nothing said", raw(`{}`), true, ErrMalformed, 0},
		{"two answers", raw(`{"objects":[],"error":{"code":"busy"}}`), true, ErrMalformed, 0},
		{"not JSON", raw(`{`), true, ErrMalformed, 0},
		{"unknown refusal", raw(`{"error":{"code":"tired"}}`), true, ErrFailed, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := connect(t)
			l.answer(t, tt.wire, tt.fin)
			path := filepath.Join(t.TempDir(), "log")
			f := openTestFile(t, path)
			if _, err := l.viewer.Fetch(t.Context(), "log", f, nil); !errors.Is(err, tt.want) {
				t.Errorf("err %v", err)
			}
			onDisk, err := os.ReadFile(path + partSuffix)
			if err != nil || f.done != tt.done || !bytes.Equal(onDisk, data[:tt.done]) {
				t.Errorf("%d bytes done, %d on disk, %v", f.done, len(onDisk), err)
			}
		})
	}
}

func TestHostileList(t *testing.T) {
	l := connect(t)
	l.answer(t, append(binary.BigEndian.AppendUint32(nil, 14), `{"objects":[]}more`...), true)
	if _, err := l.viewer.List(t.Context()); !errors.Is(err, ErrMalformed) {
		t.Error(err)
	}
}

func TestCameraThatSaysNothingIsGivenUp(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		l := connect(t)
		l.answer(t, nil, false)
		began := time.Now()
		if _, err := l.viewer.List(t.Context()); !errors.Is(err, ErrBroken) {
			t.Error(err)
		}
		if took := time.Since(began); took < stall || took > 2*stall {
			t.Errorf("it took %s", took)
		}
	})
}

func TestMalformedRequestsEndTheirStreamsAlone(t *testing.T) {
	l := connect(t)
	l.serve(t, shelf{"log": NewBytes("log", testData(10))}, idle)
	for _, wire := range []string{
		"", "\x00", "\x04\x01", "\x00\x02{", "\x00\x02{}", "\x00\x02{}x", "\xff\xff",
		"\x00\x0d{\"list\":true}x", "\x00\x16{\"get\":{\"id\":\"../LOG\"}}",
	} {
		s, err := l.viewer.quic.OpenStreamSync(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Write([]byte(wire)); err != nil {
			t.Fatal(err)
		}
		_ = s.Close()

		if got, err := io.ReadAll(s); len(got) > 0 || !errors.Is(explain(t.Context(), err), ErrMalformed) {
			t.Errorf("%q is answered: %q, %v", wire, got, err)
		}
	}
	if _, err := l.viewer.List(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestViewerThatReadsNothingIsGivenUp(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		l := connect(t)
		l.serve(t, shelf{"log": NewBytes("log", make([]byte, 2*viewerWindow))}, idle)
		wire, err := appendRequest(nil, request{Get: &getRequest{ID: "log"}})
		if err != nil {
			t.Fatal(err)
		}
		s, err := l.viewer.quic.OpenStreamSync(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Write(wire); err != nil {
			t.Fatal(err)
		}
		_ = s.Close()

		time.Sleep(2 * stall)
		if _, err := io.Copy(io.Discard, s); !errors.Is(explain(t.Context(), err), ErrFailed) {
			t.Error(err)
		}
	})
}

func BenchmarkFetch(b *testing.B) {
	l := connect(b)
	data := testData(64 << 20)
	l.serve(b, shelf{"log": NewBytes("log", data)}, idle)
	dir := b.TempDir()
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		f, err := OpenFile(filepath.Join(dir, "log"))
		if err != nil {
			b.Fatal(err)
		}
		if _, err := l.viewer.Fetch(b.Context(), "log", f, nil); err != nil {
			b.Fatal(err)
		}
	}
}
