package session

import (
	"context"
	"encoding/json"
	"net"
	"reflect"
	"regexp"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/nat"
	"github.com/peephole-cam/peephole/session/handshake"
	"github.com/peephole-cam/peephole/session/path"
	"github.com/peephole-cam/peephole/turn"
)

// startSTUN opens the two ports on which a relay answers Binding requests, and returns their URLs.
func startSTUN(t *testing.T) (urls []string) {
	t.Helper()
	for range 2 {
		conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() { defer close(ended); turn.AnswerBindings(conn) }()
		t.Cleanup(func() { conn.Close(); <-ended })
		urls = append(urls, "stun:"+conn.LocalAddr().String())
	}

	return urls
}

var addressLike = regexp.MustCompile(`\d+\.\d+\.\d+\.\d+|[0-9a-f]*:[0-9a-f]*:[0-9a-f]+|\.local`)

// Both ends explain a session alike, and each knows what the other says about its network. An explanation holds no
// addresses unless the caller asks for them.
func TestSessionIsExplained(t *testing.T) {
	for _, addresses := range []bool{false, true} {
		var camera CameraConfig
		h := newHouse(t, &camera, quiet())
		var seen struct{ viewer, camera []path.Path }
		onCamera := make(chan path.Path, 100)
		h.onPath = func(p path.Path) { onCamera <- p }
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()

		h.viewer.TURN = &handshake.TURN{URLs: startSTUN(t)}
		h.viewer.CameraTURN = h.viewer.TURN
		h.viewer.Addresses = addresses
		h.viewer.OnFrame = func(handshake.Frame) {}
		h.viewer.OnPath = func(p path.Path) { seen.viewer = append(seen.viewer, p) }
		v, err := NewViewer(h.viewer)
		if err != nil {
			t.Fatal(err)
		}

		done := make(chan error, 1)
		go func() { done <- v.Run(ctx) }()
		for len(seen.camera) == 0 { // the first path; OnPath reports the rest at the end
			select {
			case p := <-onCamera:
				seen.camera = append(seen.camera, p)
			case <-ctx.Done():
				t.Fatal("the camera has no path")
			}
		}

		c := <-h.served
		for !knowsBoth(ctx, v.do, v.explainer) || !knowsBoth(ctx, c.do, c.explainer) {
			select {
			case <-time.After(10 * time.Millisecond):
			case <-ctx.Done():
				t.Fatal("the ends never heard of each other's networks")
			}
		}

		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := <-h.camera; err != nil {
			t.Error(err)
		}

		for len(onCamera) > 0 {
			seen.camera = append(seen.camera, <-onCamera)
		}
		testExplained(t, "viewer", seen.viewer, addresses)
		testExplained(t, "camera", seen.camera, false)
	}
}

// knowsBoth reports whether an end knows its own network and the other's. do hands a function to the end's goroutine.
func knowsBoth(ctx context.Context, do func(context.Context, func() error), x *path.Explainer) (yes bool) {
	known := make(chan path.Explain, 1)
	do(ctx, func() error { known <- x.SoFar(); return nil })
	select {
	case e := <-known:
		return e.Own.Complete && e.Own.Mapping == nat.NoMapping && e.Other.Mapping == nat.NoMapping
	case <-ctx.Done():
		return false
	}
}

func testExplained(t *testing.T, role string, paths []path.Path, addresses bool) {
	t.Helper()
	if len(paths) == 0 {
		t.Fatalf("%s: no path reported", role)
	}
	for _, p := range paths {
		if p.Kind != "direct" || p.Why != "direct: both are on one network" || p.Type() != path.LAN ||
			p.Explain.Role != role || len(p.Explain.WhyNot) != 0 {
			t.Errorf("%s: %+v", role, p)
		}
		text, err := json.Marshal(p.Explain)
		if err != nil {
			t.Fatal(err)
		}

		if found := addressLike.FindString(string(text)); (found != "") != addresses {
			t.Errorf("%s: an address (%q) in %s", role, found, text)
		}
	}

	e := paths[len(paths)-1].Explain
	open := path.End{Candidates: e.Own.Candidates, Complete: true, Mapping: nat.NoMapping, UDP: handshake.UDPOpen}
	if role == "viewer" && !reflect.DeepEqual(e.Own, open) || e.Other.Mapping != nat.NoMapping ||
		e.Other.UDP != handshake.UDPOpen || e.Own.Candidates["host4"] == 0 || e.Other.Candidates["host4"] == 0 {
		t.Errorf("%s: ends %+v and %+v", role, e.Own, e.Other)
	}

	if len(e.Types) != 1 || e.Types[0].Type != path.LAN || e.Types[0].At <= 0 || e.Selected.Own == "" {
		t.Errorf("%s: types %+v, selected %+v", role, e.Types, e.Selected)
	}
	sum := path.Checks{}
	for _, c := range e.Checks {
		sum.Sent, sum.Answered, sum.Succeeded = sum.Sent+c.Sent, sum.Answered+c.Answered, sum.Succeeded+c.Succeeded
	}

	if sum.Sent == 0 || sum.Answered == 0 || sum.Succeeded == 0 {
		t.Errorf("%s: checks %+v", role, e.Checks)
	}
}
