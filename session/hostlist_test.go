package session

import (
	"bytes"
	"context"
	"reflect"
	"testing"

	"github.com/peephole-cam/peephole/session/handshake"
	"github.com/peephole-cam/peephole/test/sessiontest"
)

// A viewer gets the camera's host list if it asks for it, with a session and with a still. The camera learns which
// version the viewer holds, and a camera without a list answers all the same.
func TestHostListComesWithTheAnswerToWhoAsks(t *testing.T) {
	list := &HostList{Version: sessiontest.Random(8), First: 1, Keys: sessiontest.Random(60 * 32)}
	for _, tt := range []struct {
		name    string
		version []byte
		camera  *HostList
		want    *HostList
	}{
		{"asked for", bytes.Repeat([]byte{7}, 8), list, list},
		{"asked for, and there is none", make([]byte, 8), nil, nil},
		{"not asked for", nil, list, nil},
	} {
		for kind, ask := range map[string]func(*testing.T, *house){"session": watchOne, "still": askStill} {
			t.Run(tt.name+", "+kind, func(t *testing.T) {
				var camera CameraConfig
				h := newHouse(t, &camera, quiet())
				var held []byte
				h.hosts = func(version []byte) *HostList {
					held = version
					return tt.camera
				}

				var got *HostList
				h.viewer.HostVersion = tt.version
				h.viewer.OnHostList = func(l HostList) { got = &l }
				ask(t, h)
				if err := <-h.camera; err != nil {
					t.Errorf("camera's end: %v", err)
				}

				if !bytes.Equal(held, tt.version) || !reflect.DeepEqual(got, tt.want) {
					t.Errorf("the camera heard of %x, the viewer got %+v; want %x, %+v", held, got, tt.version, tt.want)
				}
			})
		}
	}
}

// An end that knows nothing of host lists gets along with one that does.
func TestSessionWithoutHostLists(t *testing.T) {
	for _, version := range [][]byte{nil, make([]byte, 8)} {
		var camera CameraConfig
		h := newHouse(t, &camera, quiet())
		h.viewer.HostVersion = version
		watchOne(t, h)
	}
}

// watchOne watches until the first frame.
func watchOne(t *testing.T, h *house) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	shown := false
	h.viewer.OnFrame = func(handshake.Frame) { shown = true; cancel() }
	v, err := NewViewer(h.viewer)
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Run(ctx); err != nil || !shown {
		t.Fatalf("viewer's end: %v; a picture: %t", err, shown)
	}
}

// askStill asks for a still.
func askStill(t *testing.T, h *house) {
	t.Helper()
	if _, err := Still(t.Context(), StillConfig{
		Pair:        h.viewer.Pair,
		Signal:      h,
		Inbox:       h.viewer.Inbox,
		Box:         h.viewer.Box,
		HostVersion: h.viewer.HostVersion,
		OnHostList:  h.viewer.OnHostList,
	}); err != nil {
		t.Fatal(err)
	}
}
