package bulk

import (
	"bytes"
	"encoding/binary"
	"errors"
	"reflect"
	"testing"
)

// FuzzRequest: a camera reads at most what a request may have, and what it accepts is bounded and survives a round
// trip.
func FuzzRequest(f *testing.F) {
	f.Add([]byte("\x00\x0d" + `{"list":true}`))
	f.Add([]byte("\x00\x14" + `{"get":{"id":"log"}}`))
	f.Add([]byte("\x00\x25" + `{"get":{"id":"log","from":3,"count":1}}`))
	f.Add([]byte("\xff\xff{"))
	f.Fuzz(func(t *testing.T, wire []byte) {
		reader := bytes.NewReader(wire)
		r, err := readRequest(reader)
		if read := len(wire) - reader.Len(); read > 2+maxRequest+1 {
			t.Errorf("%d bytes are read", read)
		}
		if err != nil {
			if !errors.Is(err, ErrMalformed) || r != (request{}) {
				t.Errorf("%+v, %v", r, err)
			}
			return
		}

		if g := r.Get; g != nil {
			if from, to := g.span(maxBlocks); checkID(g.ID) != nil || from < 0 || from > to || to > maxBlocks {
				t.Errorf("%+v is accepted", g)
			}
		}
		again, err := appendRequest(nil, r)
		if err != nil {
			t.Fatal(err)
		}
		if r2, err := readRequest(bytes.NewReader(again)); err != nil || !reflect.DeepEqual(r, r2) {
			t.Errorf("wrote %+v, and read it back as %+v, %v", r, r2, err)
		}
	})
}

// FuzzReply: a viewer reads at most what a reply may have, and what it accepts is bounded and survives a round trip.
func FuzzReply(f *testing.F) {
	add := func(text string) {
		f.Add(append(binary.BigEndian.AppendUint32(nil, uint32(len(text))), text...))
	}
	add(`{"objects":[]}`)
	add(`{"objects":[{"id":"log","name":"log.txt","size":-1}]}`)
	add(`{"object":{"id":"log","name":"a","size":7,"root":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE"}}`)
	add(`{"object":{"id":"log","name":"../a","size":7,"root":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE"}}`)
	add(`{"error":{"code":"busy","text":"later"}}`)
	f.Add([]byte{255, 255, 255, 255, '{'})
	f.Fuzz(func(t *testing.T, wire []byte) {
		reader := bytes.NewReader(wire)
		r, err := readReply(reader)
		if read := len(wire) - reader.Len(); read > 4+maxReply {
			t.Errorf("%d bytes are read", read)
		}
		if err != nil {
			known := false
			for _, is := range []error{ErrMalformed, ErrTooLarge, ErrNotFound, ErrChanged, ErrBusy, ErrFailed} {
				known = known || errors.Is(err, is)
			}
			if !known || !reflect.DeepEqual(r, reply{}) {
				t.Errorf("%+v, %v", r, err)
			}
			return
		}

		infos := r.Objects
		if r.Object != nil {
			infos = append(infos, *r.Object)
		}
		if len(infos) > maxListed {
			t.Errorf("%d objects", len(infos))
		}
		for _, i := range infos {
			if checkID(i.ID) != nil || CheckName(i.Name) != nil || i.Size < -1 || i.Size > MaxSize {
				t.Errorf("%+v is accepted", i)
			}
		}
		again, err := appendReply(nil, r)
		if err != nil {
			return // longer than it was: a name can be written in more than one way
		}
		if r2, err := readReply(bytes.NewReader(again)); err != nil || !reflect.DeepEqual(r, r2) {
			t.Errorf("wrote %+v, and read it back as %+v, %v", r, r2, err)
		}
	})
}

// FuzzLeaves: leaf hashes are accepted only if they make the root, and exactly as many are read as the size needs.
func FuzzLeaves(f *testing.F) {
	f.Add(int64(0), []byte{}, false)
	f.Add(int64(1), bytes.Repeat([]byte{1}, 32), true)
	f.Add(int64(3*BlockSize), bytes.Repeat([]byte{1, 2}, 48), true)
	f.Add(int64(3*BlockSize+1), bytes.Repeat([]byte{1, 2}, 48), true)
	f.Add(int64(MaxSize), []byte{1}, false)
	f.Fuzz(func(t *testing.T, size int64, leaves []byte, honest bool) {
		info := Info{ID: "log", Name: "log", Size: size, Root: Hash{1}}
		if info.check(false) != nil {
			return
		}
		need := countBlocks(size) * leafSize
		if honest && len(leaves) >= need {
			info.Root = newTree(size, leaves[:need]).Root()
		}

		tree, err := readTree(bytes.NewReader(leaves), info)
		switch {
		case len(leaves) < need:
			if !errors.Is(err, ErrMalformed) {
				t.Errorf("%d bytes of leaves for %d: %v", len(leaves), size, err)
			}
		case !honest:
			if !errors.Is(err, ErrForged) {
				t.Errorf("forged leaves: %v", err)
			}
		case err != nil:
			t.Error(err)
		case tree.Root() != info.Root || tree.blocks()*leafSize != need:
			t.Errorf("a tree of %d blocks for %d bytes", tree.blocks(), size)
		}
	})
}
