package viewer

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/peephole-cam/peephole/crypto/identity"
	"github.com/peephole-cam/peephole/crypto/pairing"
	"github.com/peephole-cam/peephole/session"
)

const hostListFileVersion = 1

var (
	// errHostListFile is returned for a damaged file of a camera's LAN names.
	errHostListFile = errors.New("damaged file of a camera's LAN names")
	// errHostListFileNewer is returned for such a file of a version that this program does not know.
	errHostListFileNewer = errors.New("file of a camera's LAN names of a newer version: update this program")
)

// hostListFile is a host list as its file spells it.
type hostListFile struct {
	Version int              `json:"version"`
	List    session.HostList `json:"list"`
}

func encodeHostList(l session.HostList) ([]byte, error) {
	b, err := json.MarshalIndent(hostListFile{hostListFileVersion, l}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode LAN names: %w", err)
	}
	return append(b, '\n'), nil
}

// parseHostList reads what encodeHostList wrote.
func parseHostList(b []byte) (session.HostList, error) {
	var f hostListFile
	if err := json.Unmarshal(b, &f); err != nil {
		return session.HostList{}, fmt.Errorf("%w: %w", errHostListFile, err)
	}
	if f.Version > hostListFileVersion {
		return session.HostList{}, errHostListFileNewer
	}
	if f.Version != hostListFileVersion || !f.List.Valid() {
		return session.HostList{}, errHostListFile
	}
	return f.List, nil
}

// hostListDir returns the directory of the host lists. Each file is named as the camera's record is.
func (v *Viewer) hostListDir() string { return filepath.Join(v.cfg.State, "hosts") }

func (v *Viewer) hostListPath(camera Fingerprint) string {
	return filepath.Join(v.hostListDir(), camera.String()+".json")
}

// hostList returns the host list that the viewer holds of a camera, or the zero value if it holds none. One that cannot
// be read is as good as none: the camera sends another in the next session.
func (v *Viewer) hostList(r pairing.Record) session.HostList {
	b, err := identity.ReadFile(v.hostListPath(r.Pair.Peer.Fingerprint()))
	if errors.Is(err, fs.ErrNotExist) {
		return session.HostList{}
	}
	var l session.HostList
	if err == nil {
		l, err = parseHostList(b)
	}

	if err != nil {
		v.cfg.Logger.Warn("a camera's LAN names cannot be read: they come anew with its next session", "camera", r.Name,
			"err", err)
	}
	return l
}

// hostVersion returns the version of the host list that the viewer holds of a camera, zeros if it holds none, or nil if
// it wants none.
func (v *Viewer) hostVersion(r pairing.Record) []byte {
	if !v.cfg.LAN {
		return nil
	}
	if l := v.hostList(r); l.Valid() {
		return l.Version
	}
	return make([]byte, session.HostVersionSize)
}

// keepHostList writes down the host list that a camera has sent, unless that camera is being forgotten.
func (v *Viewer) keepHostList(r pairing.Record, l session.HostList) {
	v.mu.Lock()
	defer v.mu.Unlock()
	camera := r.Pair.Peer.Fingerprint()
	paired := slices.ContainsFunc(v.records, func(known pairing.Record) bool {
		return known.Pair.Peer.Fingerprint() == camera && known.Pair.Secret.Equal(r.Pair.Secret)
	})
	if !v.cfg.LAN || !paired || !v.store.Kept(camera) {
		return
	}

	b, err := encodeHostList(l)
	if err == nil {
		err = identity.WriteFile(v.hostListPath(camera), b)
	}
	if err != nil {
		v.cfg.Logger.Warn("a camera's LAN names cannot be kept on disk: make room there, or make it writable. Until "+
			"then it is not found without the relay", "camera", r.Name, "err", err)
	}
}

// forgetHostList removes the host list of a camera, if there is one. v.mu must be held.
func (v *Viewer) forgetHostList(camera Fingerprint) error {
	err := identity.RemoveFile(v.hostListPath(camera))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove LAN names: %w", err)
	}
	return nil
}

// forgetStrayHostLists removes the host lists of cameras whose records were deleted by hand.
func (v *Viewer) forgetStrayHostLists() {
	entries, err := os.ReadDir(v.hostListDir())
	if err != nil { // there are none, or nobody can read them
		return
	}
	for _, e := range entries {
		name, ours := strings.CutSuffix(e.Name(), ".json")
		camera, err := hex.DecodeString(name)
		if !ours || err != nil || len(camera) != len(Fingerprint{}) || v.store.Kept(Fingerprint(camera)) {
			continue
		}
		if err := v.forgetHostList(Fingerprint(camera)); err != nil {
			v.cfg.Logger.Debug("a camera is gone, and its LAN names are not", "err", err)
		}
	}
}
