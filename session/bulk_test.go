package session

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/peephole-cam/peephole/bulk"
	"github.com/peephole-cam/peephole/session/handshake"
	"github.com/peephole-cam/peephole/test/sessiontest"
)

// shelf is a source of objects in memory.
type shelf map[string][]byte

func (s shelf) List(context.Context) (infos []bulk.Info, err error) {
	for id, data := range s {
		infos = append(infos, bulk.Info{ID: id, Name: id + ".bin", Size: int64(len(data))})
	}
	return infos, nil
}

func (s shelf) Open(_ context.Context, id string, _ bulk.Hash) (bulk.Object, error) {
	data, ok := s[id]
	if !ok {
		return nil, bulk.ErrNotFound
	}
	return bulk.NewBytes(id+".bin", data), nil
}

// What a camera offers arrives bit for bit, the relay sees nothing of it, and neither end leaves anything running.
func TestBulk(t *testing.T) {
	var camera CameraConfig
	log := &locked{w: new(bytes.Buffer)}
	h := newHouse(t, &camera, slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	want := append([]byte("a secret recording"), sessiontest.Random(3<<20)...)
	h.offered = shelf{"film": want}
	h.viewer.OnReject = func(r Rejection) { t.Errorf("rejected %s: %v", r.What, r.Err) }
	var name string
	h.viewer.OnName = func(n string) { name = n }
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()

	path := filepath.Join(t.TempDir(), "film.bin")

	err := Bulk(ctx, h.viewer, func(ctx context.Context, c BulkConn) error {
		list, err := c.List(ctx)
		if err != nil || len(list) != 1 || list[0].ID != "film" || c.Relayed() {
			t.Errorf("offered: %v, %v, relayed %v", list, err, c.Relayed())
		}
		file, err := bulk.OpenFile(path)
		if err != nil {
			return err
		}
		defer file.Close()
		_, err = c.Fetch(ctx, "film", file, nil)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}

	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes arrived, %v", len(got), err)
	}
	if err := <-h.camera; err != nil || name != "front door" {
		t.Errorf("camera's end of %q: %v", name, err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, secret := range []string{"front door", "candidate", "certificate", "secret recording"} {
		if bytes.Contains(bytes.Join(h.sent, nil), []byte(secret)) {
			t.Errorf("the relay saw %q", secret)
		}
	}
}

// A camera that offers nothing says so.
func TestBulkIsRefusedWhereNothingIsOffered(t *testing.T) {
	var camera CameraConfig
	h := newHouse(t, &camera, quiet())
	err := Bulk(t.Context(), h.viewer, func(context.Context, BulkConn) error { return nil })
	var refusal *Refusal
	if !errors.As(err, &refusal) || refusal.Code != BulkRefusal ||
		refusal.Text != "This camera offers nothing to fetch." {
		t.Errorf("viewer's end: %v", err)
	}
	if err := <-h.camera; !errors.Is(err, ErrNothingOffered) || err.Error() != "this camera offers nothing to fetch" {
		t.Errorf("camera's end: %v", err)
	}
}

// A viewer that leaves while it fetches is gone at the camera, and a camera that goes ends the viewer's session.
func TestBulkEndsWithEitherEnd(t *testing.T) {
	var camera CameraConfig
	h := newHouse(t, &camera, quiet())
	h.offered = shelf{}
	left := errors.New("seen enough")
	if err := Bulk(t.Context(), h.viewer, func(context.Context, BulkConn) error { return left }); err != left {
		t.Errorf("viewer's end: %v", err)
	}
	if err := <-h.camera; err != nil {
		t.Errorf("camera's end: %v", err)
	}
}

// Each end takes the first hash of the other's certificate, and not its own thrown back.
func TestBulkTakesOneCertificate(t *testing.T) {
	own, err := bulk.NewCertificate()
	if err != nil {
		t.Fatal(err)
	}
	mirrored := own.Hash()
	for name, hash := range map[string]handshake.Blob{
		"short":   sessiontest.Random(31),
		"none":    nil,
		"our own": mirrored[:],
	} {
		e := &bulkEnd{own: own, other: make(chan bulk.Hash, 1)}
		if err := e.hear(hash); !errors.Is(err, handshake.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}

	e := &bulkEnd{own: own, other: make(chan bulk.Hash, 1)}
	first := sessiontest.Random(32)
	for _, hash := range []handshake.Blob{first, sessiontest.Random(32)} {
		if err := e.hear(hash); err != nil {
			t.Fatal(err)
		}
	}
	if got := <-e.other; !bytes.Equal(got[:], first) {
		t.Error("the second hash replaced the first")
	}
}
