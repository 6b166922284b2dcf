package viewer

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/peephole-cam/peephole/crypto/identity"
	"github.com/peephole-cam/peephole/crypto/pairing"
)

// besidePairs is a directory in State with what cameras have told this viewer, one file for each camera. Its name is
// that of the pair's file.
type besidePairs string

func (b besidePairs) dir(v *Viewer) string { return filepath.Join(v.cfg.State, string(b)) }

func (b besidePairs) path(v *Viewer, camera Fingerprint) string {
	return filepath.Join(b.dir(v), camera.String()+".json")
}

// forget removes a camera's file, if there is one. v.mu must be held.
func (b besidePairs) forget(v *Viewer, camera Fingerprint) error {
	err := identity.RemoveFile(b.path(v, camera))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove what the camera has told (%s): %w", b, err)
	}
	return nil
}

// forgetStray removes the files of cameras whose records were deleted by hand.
func (b besidePairs) forgetStray(v *Viewer) {
	entries, err := os.ReadDir(b.dir(v))
	if err != nil { // there are none, or nobody can read them
		return
	}
	for _, e := range entries {
		name, ours := strings.CutSuffix(e.Name(), ".json")
		camera, err := hex.DecodeString(name)
		if !ours || err != nil || len(camera) != len(Fingerprint{}) || v.store.Kept(Fingerprint(camera)) {
			continue
		}
		if err := b.forget(v, Fingerprint(camera)); err != nil {
			v.cfg.Logger.Debug("a camera is gone, and what it has told is not", "err", err)
		}
	}
}

// forgetTold removes all that a camera has told. v.mu must be held.
func (v *Viewer) forgetTold(camera Fingerprint) error {
	return errors.Join(hostLists.forget(v, camera), relayLists.forget(v, camera))
}

// isPaired reports whether this pair is still kept, in memory and on disk. v.mu must be held.
func (v *Viewer) isPaired(r pairing.Record) bool {
	camera := r.Pair.Peer.Fingerprint()
	return slices.ContainsFunc(v.records, func(known pairing.Record) bool {
		return known.Pair.Peer.Fingerprint() == camera && known.Pair.Secret.Equal(r.Pair.Secret)
	}) && v.store.Kept(camera)
}
