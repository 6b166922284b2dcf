package viewer

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/crypto/identity"
	"github.com/peephole-cam/peephole/crypto/pairing"
)

func TestStateIsRequired(t *testing.T) {
	if err := (Config{}).Validate(); !errors.Is(err, ErrConfig) {
		t.Errorf("Validate returns %v", err)
	}
	if v, err := Open(Config{}); v != nil || !errors.Is(err, ErrConfig) {
		t.Errorf("Open returns %v", err)
	}
}

// newPair returns a pair of v with a new camera.
func newPair(t *testing.T, v *Viewer) *envelope.Pair {
	t.Helper()
	camera, err := identity.Generate()
	if err != nil {
		t.Fatal(err)
	}
	return &envelope.Pair{Self: v.self, Role: identity.Viewer, Peer: camera.Bundle()}
}

func TestCamerasAreFoundByNameAndID(t *testing.T) {
	v, err := Open(Config{State: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	pair := newPair(t, v)
	first, err1 := v.addCamera(pair, "https://relay.example", "Door")
	second, err2 := v.addCamera(newPair(t, v), "https://relay.example", "door")
	unnamed, err3 := v.addCamera(newPair(t, v), "https://relay.example", "")
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}

	if first.Name != "Door" || second.Name != "door 2" || unnamed.Name != "camera" {
		t.Errorf("called %q, %q and %q", first.Name, second.Name, unnamed.Name)
	}

	for _, name := range []string{"door", "DOOR", first.ID} {
		if r, err := v.find(name); err != nil || newCamera(r) != first {
			t.Errorf("%q: found %+v, %v", name, newCamera(r), err)
		}
	}

	if known, ok := v.Paired(Code{Fingerprint: pair.Peer.Fingerprint()}); !ok || known != first {
		t.Errorf("paired with %+v (%t)", known, ok)
	}

	v.records[1].Name = "Door" // somebody may have edited the file
	if err := v.Forget("door"); !errors.Is(err, ErrAmbiguous) {
		t.Errorf("forget one of two: %v", err)
	}
	if err := v.Forget(first.ID); err != nil {
		t.Error(err)
	}

	if err := v.Forget(first.ID); !errors.Is(err, ErrNoCamera) {
		t.Errorf("forget it again: %v", err)
	}
	if _, ok := v.Paired(Code{Fingerprint: pair.Peer.Fingerprint()}); ok || len(v.Cameras()) != 2 {
		t.Error("a forgotten camera is still paired")
	}
}

// Pairing again with a camera replaces its pair and keeps its name.
func TestPairingAgainReplacesThePair(t *testing.T) {
	v, err := Open(Config{State: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	pair := newPair(t, v)
	for range 2 {
		if c, err := v.addCamera(pair, "https://relay.example", "door"); err != nil || c.Name != "door" {
			t.Errorf("called %q, %v", c.Name, err)
		}
	}

	if n := len(v.Cameras()); n != 1 {
		t.Errorf("%d cameras", n)
	}
}

// Cameras can be paired, listed and forgotten at the same time; the race detector checks that.
func TestCamerasAreGuarded(t *testing.T) {
	v, err := Open(Config{State: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	var work sync.WaitGroup
	for n := range 4 {
		pair := newPair(t, v)
		work.Go(func() {
			c, err := v.addCamera(pair, "https://relay.example", fmt.Sprint("camera ", n))
			v.Cameras()
			v.Paired(Code{})
			if err := errors.Join(err, v.Forget(c.ID)); err != nil {
				t.Error(err)
			}
		})
	}

	work.Wait()
	if n := len(v.Cameras()); n != 0 {
		t.Errorf("%d cameras are left", n)
	}
}

// A damaged file is reported, and the other cameras can still be watched.
func TestDamagedCameraIsReported(t *testing.T) {
	state := t.TempDir()
	v, err := Open(Config{State: state})
	if err != nil {
		t.Fatal(err)
	}
	c, err := v.addCamera(newPair(t, v), "https://relay.example", "door")
	if err != nil {
		t.Fatal(err)
	}

	damage(t, state)
	v, err = Open(Config{State: state})
	if err != nil {
		t.Fatal(err)
	}
	if err := v.CamerasError(); !errors.Is(err, pairing.ErrPairFile) {
		t.Errorf("says %v, want %v", err, pairing.ErrPairFile)
	}

	if found := v.Cameras(); len(found) != 1 || found[0].ID != c.ID {
		t.Errorf("%+v", found)
	}
}

// damage adds a file to the pairs that does not hold one.
func damage(t *testing.T, state string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(state, "pairs", "x.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
}
