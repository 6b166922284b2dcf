package viewer

import (
	"errors"
	"testing"
)

// A camera can be looked for on the LAN once it has told its names, by a viewer that goes on LANs.
func TestCameraWithoutLANNamesIsNotLookedFor(t *testing.T) {
	state := t.TempDir()
	v, r := withCamera(t, Config{State: state, LAN: true})
	refused := func(v *Viewer) {
		t.Helper()
		if err := v.FindOnLAN(t.Context(), "door"); !errors.Is(err, ErrNoLANNames) || len(v.LANCameras()) > 0 {
			t.Errorf("looking for it ends with %v; %d can be looked for", err, len(v.LANCameras()))
		}
	}
	refused(v)
	if err := v.FindOnLAN(t.Context(), "attic"); !errors.Is(err, ErrNoCamera) {
		t.Errorf("looking for nobody ends with %v", err)
	}

	v.keepHostList(r, aHostList())
	if all := v.LANCameras(); len(all) != 1 || all[0] != v.Cameras()[0] {
		t.Errorf("can be looked for: %v", all)
	}
	away, err := Open(Config{State: state})
	if err != nil {
		t.Fatal(err)
	}
	refused(away)
}
