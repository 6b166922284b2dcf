package viewer

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/peephole-cam/peephole/p2p"
)

// ErrNoLANNames is returned by FindOnLAN for a camera that LANCameras does not list.
var ErrNoLANNames = errors.New("the camera has not told its LAN names: watch it once through the relay")

// LANCameras lists the paired cameras, oldest first, that FindOnLAN can look for: those that have told this viewer
// their LAN names, which they do in a session. Without Config.LAN there are none.
func (v *Viewer) LANCameras() []Camera {
	if !v.cfg.LAN {
		return nil
	}
	v.mu.Lock()
	records := slices.Clone(v.records)
	v.mu.Unlock()

	var cameras []Camera
	for _, r := range records {
		if v.hostList(r).Valid() {
			cameras = append(cameras, newCamera(r))
		}
	}
	return cameras
}

// FindOnLAN looks for a camera on this device's own network until it answers (nil) or ctx ends; name is its name or ID.
// Only the camera can answer, since it proves one of its host keys. It learns nothing of this viewer but an address.
// Other errors wrap ErrNoCamera, ErrAmbiguous or ErrNoLANNames, or say what of this device does not work.
func (v *Viewer) FindOnLAN(ctx context.Context, name string) error {
	record, err := v.find(name)
	if err != nil {
		return err
	}
	keys := v.hostList(record).PublicKeys()
	if !v.cfg.LAN || len(keys) == 0 {
		return fmt.Errorf("find %q on this network: %w", name, ErrNoLANNames)
	}

	conn, err := p2p.FindLAN(ctx, keys)
	if err != nil {
		return err
	}
	return conn.Close()
}
