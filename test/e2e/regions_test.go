package e2e

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/camera"
	"github.com/peephole-cam/peephole/media"
	"github.com/peephole-cam/peephole/session"
	"github.com/peephole-cam/peephole/signaling"
	"github.com/peephole-cam/peephole/signaling/region"
	"github.com/peephole-cam/peephole/test/evilcloud"
	"github.com/peephole-cam/peephole/viewer"
)

// regions is an operator with several regions, and a household whose camera is at two of them.
type regions struct {
	clouds   map[string]*evilcloud.Cloud
	stops    map[string]func()
	operator ed25519.PrivateKey
	camera   *household
	log      *cameraLog
	viewer   watcher
}

// cameraLog is what a camera has logged, and tells what it waits for.
type cameraLog struct {
	mu    sync.Mutex
	text  bytes.Buffer  // guarded by mu
	wrote chan struct{} // guarded by mu; closed with the next line
}

func newCameraLog() *cameraLog { return &cameraLog{wrote: make(chan struct{})} }

func (l *cameraLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.wrote)
	l.wrote = make(chan struct{})
	return l.text.Write(b)
}

// await waits until the camera has logged some text.
func (l *cameraLog) await(t *testing.T, text string) {
	t.Helper()
	timeout := time.After(patience)
	for {
		l.mu.Lock()
		found, wrote := strings.Contains(l.text.String(), text), l.wrote
		l.mu.Unlock()
		if found {
			return
		}
		select {
		case <-wrote:
		case <-timeout:
			t.Fatalf("the camera has not logged %q:\n%s", text, l.text.String())
		}
	}
}

// startRegions runs an operator's regions, and a camera that was given the first of them. It returns once the camera
// has a standby, and a viewer is paired.
func startRegions(t *testing.T, names ...string) *regions {
	t.Helper()
	_, operator, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	r := &regions{
		clouds:   make(map[string]*evilcloud.Cloud),
		stops:    make(map[string]func()),
		operator: operator,
		log:      newCameraLog(),
	}
	for _, name := range names {
		c, err := evilcloud.New(evilcloud.Config{Middle: true, Remember: 100, Logger: logger(t)})
		if err != nil {
			t.Fatal(err)
		}
		r.clouds[name], r.stops[name] = c, run(t, c.Run)
	}
	wire := r.mapOf(t, operator, time.Now(), names...)
	for _, c := range r.clouds {
		c.SetRegions(wire)
	}

	r.startCamera(t, names[0])
	r.log.await(t, "msg=\"the camera's regions\" home="+names[0]+" standby=")
	r.viewer = pair(t, r.camera)
	return r
}

// mapOf signs a map of some of the regions.
func (r *regions) mapOf(t *testing.T, key ed25519.PrivateKey, issued time.Time, names ...string) []byte {
	t.Helper()
	m := region.Map{Issued: issued, NotAfter: issued.Add(24 * time.Hour)}
	for _, name := range names {
		signalingURL := r.clouds[name].URLs()[0]
		_, turn := r.clouds[name].Addresses()
		m.Regions = append(m.Regions, region.Region{Name: name, URL: signalingURL, TURN: turn[0]})
	}
	wire, err := m.Sign(key)
	if err != nil {
		t.Fatal(err)
	}
	return wire
}

// startCamera runs a camera that was given one of the relays.
func (r *regions) startCamera(t *testing.T, given string) {
	t.Helper()
	clips, err := media.Clips()
	if err != nil {
		t.Fatal(err)
	}
	cfg := camera.Config{
		State:    filepath.Join(t.TempDir(), "camera"),
		Name:     "door",
		RelayURL: r.clouds[given].URLs()[0],
		Logger:   slog.New(slog.NewTextHandler(r.log, nil)),
	}
	var start func() *household
	start = func() *household {
		h := runCameraWith(t, cfg, clips[0].Source("household of regions"))
		h.again = start
		return h
	}
	r.camera = start()
}

// standby returns the camera's standby, as it has logged it.
func (r *regions) standby() string {
	r.log.mu.Lock()
	defer r.log.mu.Unlock()
	_, after, _ := strings.Cut(r.log.text.String(), "standby=none")
	_, name, _ := strings.Cut(after, "standby=")
	name, _, _ = strings.Cut(name, "\n")
	return name
}

// watched is how one watching went.
type regionWatched struct {
	regions viewer.Regions
	took    time.Duration // to the first frame of the stream
	err     error
}

// watch watches until a frame of the stream has come.
func (r *regions) watch(t *testing.T) (w regionWatched) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	began := time.Now()
	w.err = r.viewer.Watch(ctx, "door", viewer.Watch{
		OnRegions: func(r viewer.Regions) { w.regions = r },
		OnFrame: func(f viewer.Frame) {
			if !f.Still && w.took == 0 {
				w.took = time.Since(began)
				cancel()
			}
		},
	})
	if w.took == 0 && w.err == nil {
		w.err = errors.New("no frame")
	}
	return w
}

// host returns how a region is called that no map names.
func (r *regions) host(region string) string {
	return strings.TrimPrefix(r.clouds[region].URLs()[0], "http://")
}

// wantBy fails unless a watching showed a picture, and was signaled by a region of one of these names.
func (w regionWatched) wantBy(t *testing.T, names ...string) {
	t.Helper()
	if w.err != nil || !slices.Contains(names, w.regions.Signaling) {
		t.Errorf("by %+v after %v, %v; want it by %s", w.regions, w.took, w.err, names)
	}
	t.Logf("by %+v after %v", w.regions, w.took)
}

// While home serves, nothing of a session goes by the standby.
func TestStandbyIsIdleWhileHomeServes(t *testing.T) {
	r := startRegions(t, "a", "b")
	r.watch(t).wantBy(t, "a")
	if posted := r.clouds["b"].Posted(); len(posted) > 0 {
		t.Errorf("%d messages were posted at the standby", len(posted))
	}
}

// A home that fails in any way costs a moment: the session begins by the standby.
func TestStandbyServesWhenHomeDoesNot(t *testing.T) {
	for name, fail := range map[string]func(t *testing.T, r *regions){
		"home is killed": func(_ *testing.T, r *regions) { r.stops["a"]() },
		"home says ok and drops": func(_ *testing.T, r *regions) {
			r.clouds["a"].SetFrames(evilcloud.CachedAnswers)
		},
		"home's connection to the camera is half open": func(_ *testing.T, r *regions) {
			r.clouds["a"].SetFrames(halfOpen)
		},
		"home answers 404": func(_ *testing.T, r *regions) { r.clouds["a"].SetFrames(knowsNobody) },
		"home is silent":   func(_ *testing.T, r *regions) { r.clouds["a"].SetFrames(silent) },
	} {
		t.Run(name, func(t *testing.T) {
			r := startRegions(t, "a", "b")
			fail(t, r)
			r.watch(t).wantBy(t, "b")
		})
	}
}

// halfOpen delivers nothing to anybody, and answers everything.
func halfOpen(l *evilcloud.Line, f signaling.Frame, fromRelay bool) []evilcloud.Said {
	if _, ok := f.(signaling.Deliver); ok {
		return nil
	}
	return []evilcloud.Said{{Line: l, ToClient: fromRelay, Frame: f}}
}

// knowsNobody refuses every grant and every message with 404.
func knowsNobody(l *evilcloud.Line, f signaling.Frame, fromRelay bool) []evilcloud.Said {
	refused := func(id uint32) []evilcloud.Said {
		refusal := signaling.Refused{ID: id, Code: signaling.CodeNotAdmitted, Text: "unknown"}
		return []evilcloud.Said{{Line: l, ToClient: true, Frame: refusal}}
	}
	switch f := f.(type) {
	case signaling.GrantRequest:
		return refused(f.ID)
	case signaling.Post:
		return refused(f.ID)
	}
	return []evilcloud.Said{{Line: l, ToClient: fromRelay, Frame: f}}
}

// silent loses everything that clients say.
func silent(l *evilcloud.Line, f signaling.Frame, fromRelay bool) []evilcloud.Said {
	if !fromRelay {
		return nil
	}
	return []evilcloud.Said{{Line: l, ToClient: true, Frame: f}}
}

// A viewer whose list has nothing right in it but the seed finds the camera within two more tries.
func TestViewerWithAnOldListFindsTheCamera(t *testing.T) {
	r := startRegions(t, "a", "b", "c", "d")
	r.learnMap(t)
	r.changeList(t, func(list *session.RelayList) {
		list.Home.URL = "http://127.0.0.1:1" // nobody listens there
		list.Standby.URL = "http://127.0.0.1:2"
	})

	w := r.watch(t)
	if w.err != nil || w.regions.Signaling != "a" && w.regions.Signaling != r.standby() {
		t.Errorf("%+v after %v, %v; the camera is at a and %s", w.regions, w.took, w.err, r.standby())
	}
	t.Logf("by %+v after %v", w.regions, w.took)
	r.watch(t).wantBy(t, "a") // the session has brought the present list
}

// learnMap watches until the viewer holds the map.
func (r *regions) learnMap(t *testing.T) {
	t.Helper()
	for range 20 {
		r.watch(t).wantBy(t, "a")
		if strings.Contains(r.readList(t), `"map"`) {
			return
		}
	}
	t.Fatal("the viewer does not get the map")
}

// listPath returns the file in which the viewer keeps the camera's relay list.
func (r *regions) listPath() string {
	return filepath.Join(r.viewer.state, "relays", r.camera.Fingerprint().String()+".json")
}

func (r *regions) readList(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(r.listPath())
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// changeList changes the viewer's list.
func (r *regions) changeList(t *testing.T, change func(*session.RelayList)) {
	t.Helper()
	var file map[string]any
	var list session.RelayList
	b := []byte(r.readList(t))
	err := json.Unmarshal(b, &file)
	if err == nil {
		err = json.Unmarshal(b, &struct{ List *session.RelayList }{&list})
	}
	if err != nil {
		t.Fatal(err)
	}

	change(&list)
	list.Version = make([]byte, session.RelayVersionSize)
	file["list"] = list
	if b, err = json.Marshal(file); err == nil {
		err = os.WriteFile(r.listPath(), b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// A map that is wrong, old or forged changes nothing that matters: the camera is found where it is, and nothing opens
// that did not.
func TestWrongMapCostsNoSafety(t *testing.T) {
	_, stranger, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	nowhere := region.Map{Issued: time.Now().Add(time.Minute), NotAfter: time.Now().Add(time.Hour)}
	nowhere.Regions = []region.Region{{Name: "nowhere", URL: "http://127.0.0.1:1", TURN: "127.0.0.1:1"}}
	for name, wrong := range map[string]func(t *testing.T, r *regions) []byte{
		"forged": func(t *testing.T, r *regions) []byte { return r.mapOf(t, stranger, time.Now(), "b") },
		"old": func(t *testing.T, r *regions) []byte {
			return r.mapOf(t, r.operator, time.Now().Add(-time.Hour), "b")
		},
		"expired": func(t *testing.T, r *regions) []byte {
			return r.mapOf(t, r.operator, time.Now().Add(-25*time.Hour), "b")
		},
		"torn": func(t *testing.T, r *regions) []byte {
			return r.mapOf(t, r.operator, time.Now().Add(time.Minute), "b")[:200]
		},
		"leads nowhere": func(t *testing.T, r *regions) []byte {
			wire, err := nowhere.Sign(r.operator)
			if err != nil {
				t.Fatal(err)
			}
			return wire
		},
		"none": func(*testing.T, *regions) []byte { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			r := startRegions(t, "a", "b")
			evil := wrong(t, r)
			for _, c := range r.clouds {
				c.SetRegions(evil)
			}

			r.camera.stop()
			before := r.clouds["a"].Counts().Maps + r.clouds["b"].Counts().Maps
			r.camera = r.camera.again()
			eventually(t, "the camera asks for the map", func() bool {
				return r.clouds["a"].Counts().Maps+r.clouds["b"].Counts().Maps > before
			})
			<-time.After(300 * time.Millisecond) // a change that must not come would come by now
			r.watch(t).wantBy(t, "a", r.host("a"))
			r.stops["a"]()
			r.watch(t).wantBy(t, "b", r.host("b"))
			if n := r.camera.Rejected(); n != 0 {
				t.Errorf("the camera rejected %d messages", n)
			}
		})
	}
}
