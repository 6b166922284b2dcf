package viewer

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

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

// hostLists is the directory of the host lists.
const hostLists besidePairs = "hosts"

// hostList returns the host list that the viewer holds of a camera, or the zero value if it holds none. One that cannot
// be read is as good as none: the camera sends another in the next session.
func (v *Viewer) hostList(r pairing.Record) session.HostList {
	b, err := identity.ReadFile(hostLists.path(v, r.Pair.Peer.Fingerprint()))
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
	if !v.cfg.LAN || !v.isPaired(r) {
		return
	}

	b, err := encodeHostList(l)
	if err == nil {
		err = identity.WriteFile(hostLists.path(v, r.Pair.Peer.Fingerprint()), b)
	}
	if err != nil {
		v.cfg.Logger.Warn("a camera's LAN names cannot be kept on disk: make room there, or make it writable. Until "+
			"then it is not found without the relay", "camera", r.Name, "err", err)
	}
}
