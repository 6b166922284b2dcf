package viewer

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/crypto/pairing"
	"github.com/peephole-cam/peephole/printable"
)

// Camera is a paired camera.
type Camera struct {
	Name     string    `json:"name"` // unique on this viewer, unless it was changed on disk
	ID       string    `json:"id"`   // its fingerprint
	RelayURL string    `json:"relay_url"`
	PairedAt time.Time `json:"paired_at"`
}

func newCamera(r pairing.Record) Camera {
	return Camera{
		Name:     r.Name,
		ID:       r.Pair.Peer.Fingerprint().String(),
		RelayURL: r.RelayURL,
		PairedAt: r.PairedAt,
	}
}

// loadCameras reads the paired cameras. Whatever cannot be read is left out and logged.
func (v *Viewer) loadCameras() {
	records, err := v.store.Load()
	for i := range records {
		records[i].Name = printable.Name(records[i].Name)
	}
	v.records = records
	hostLists.forgetStray(v)
	relayLists.forgetStray(v)

	if err != nil {
		v.camerasErr = fmt.Errorf("load cameras: %w", err)
		v.cfg.Logger.Error("some cameras cannot be watched", "err", v.camerasErr)
	}
}

// CamerasError returns why Open could not read some cameras, or nil.
func (v *Viewer) CamerasError() error { return v.camerasErr }

// Cameras lists the paired cameras, oldest first.
func (v *Viewer) Cameras() []Camera {
	v.mu.Lock()
	defer v.mu.Unlock()
	cameras := make([]Camera, 0, len(v.records))
	for _, r := range v.records {
		cameras = append(cameras, newCamera(r))
	}
	return cameras
}

// Paired returns the camera that shows this code, if the viewer is paired with it already.
func (v *Viewer) Paired(code Code) (Camera, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, r := range v.records {
		if r.Pair.Peer.Fingerprint() == code.Fingerprint {
			return newCamera(r), true
		}
	}

	return Camera{}, false
}

// Forget ends the pairing with a camera on this device; name is its name or ID. The camera still knows this viewer
// until its owner removes it there. Forget returns an error that wraps ErrNoCamera or ErrAmbiguous, or says why one of
// the camera's files could not be removed.
func (v *Viewer) Forget(name string) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	r, err := v.findLocked(name)
	if err != nil {
		return err
	}
	if err := v.forgetTold(r.Pair.Peer.Fingerprint()); err != nil {
		return err
	}
	if err := v.store.Remove(r.Pair.Peer.Fingerprint()); err != nil {
		return err
	}

	v.records = v.without(r.Pair)
	return nil
}

// find returns the camera with a name or ID.
func (v *Viewer) find(name string) (pairing.Record, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.findLocked(name)
}

// findLocked is find with v.mu held.
func (v *Viewer) findLocked(name string) (pairing.Record, error) {
	var found []pairing.Record
	for _, r := range v.records {
		if r.Pair.Peer.Fingerprint().String() == name {
			return r, nil
		}
		if strings.EqualFold(r.Name, name) {
			found = append(found, r)
		}
	}

	switch len(found) {
	case 0:
		return pairing.Record{}, fmt.Errorf("find camera %q: %w", name, ErrNoCamera)
	case 1:
		return found[0], nil
	}

	return pairing.Record{}, fmt.Errorf("find camera %q: %w", name, ErrAmbiguous)
}

// addCamera saves a new pair, in the place of an earlier one with the same camera. What came by the earlier one goes
// with it.
func (v *Viewer) addCamera(pair *envelope.Pair, relayURL, name string) (Camera, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	others := v.without(pair)
	record := pairing.Record{Pair: pair, RelayURL: relayURL, Name: uniqueName(name, others), PairedAt: time.Now()}
	err := v.forgetTold(pair.Peer.Fingerprint())
	if err == nil {
		err = v.store.Put(record)
	}
	if err != nil {
		return Camera{}, err
	}

	v.records = append(others, record)
	return newCamera(record), nil
}

// without returns the records of all cameras but one. v.mu must be held.
func (v *Viewer) without(pair *envelope.Pair) []pairing.Record {
	var others []pairing.Record
	for _, r := range v.records {
		if r.Pair.Peer.Fingerprint() != pair.Peer.Fingerprint() {
			others = append(others, r)
		}
	}
	return others
}

// uniqueName returns name, with a number behind it if another camera has it.
func uniqueName(name string, others []pairing.Record) string {
	if name == "" {
		name = "camera"
	}
	isTaken := func(name string) bool {
		return slices.ContainsFunc(others, func(r pairing.Record) bool { return strings.EqualFold(r.Name, name) })
	}

	unique := name
	for n := 2; isTaken(unique); n++ {
		unique = fmt.Sprintf("%s %d", name, n)
	}
	return unique
}
