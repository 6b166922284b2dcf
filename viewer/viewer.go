// Package viewer is the viewer's side of Peephole: it keeps the viewer's identity and the cameras it is paired with,
// pairs by the code a camera shows, and watches.
//
// It promises that whatever it hands on has opened under a key that only the camera and this viewer hold, and that
// a picture which is not live is never called live.
package viewer

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/crypto/identity"
	"github.com/peephole-cam/peephole/crypto/pairing"
	"github.com/peephole-cam/peephole/session"
	"github.com/peephole-cam/peephole/signaling"
)

// Config is what a viewer needs.
type Config struct {
	State  string      // directory of the identity and the paired cameras, made with mode 0700
	TLS    *tls.Config // nil: the system's roots
	Logger *slog.Logger

	PortMapper session.PortMapper // nil: no port of the router here is opened
}

// Viewer is one viewer and its cameras.
type Viewer struct {
	cfg     Config
	self    *identity.Private
	store   *pairing.Store
	records []pairing.Record
}

var (
	// ErrNoCamera is returned for a name that is no paired camera's.
	ErrNoCamera = errors.New("no camera of that name is paired: see viewer list")
	// ErrAmbiguous is returned for a name that several paired cameras have.
	ErrAmbiguous = errors.New("several paired cameras have that name: use the id that viewer list shows")
	// ErrNotACamera is returned for a code that a viewer shows.
	ErrNotACamera = errors.New("this code is another viewer's, not a camera's")
)

// Open loads the viewer's identity and cameras, or makes a new identity in an empty State directory. A pair file that
// cannot be read is an error beside a Viewer with the others.
func Open(cfg Config) (*Viewer, error) {
	self, err := identity.LoadOrCreate(cfg.State)
	if err != nil {
		return nil, fmt.Errorf("load viewer identity: %w", err)
	}
	v := &Viewer{cfg: cfg, self: self, store: pairing.NewStore(cfg.State, self, identity.Viewer)}
	v.records, err = v.store.Load()
	if err != nil {
		return v, fmt.Errorf("load cameras: %w", err)
	}
	return v, nil
}

// Fingerprint names the viewer.
func (v *Viewer) Fingerprint() identity.Fingerprint { return v.self.Bundle().Fingerprint() }

// Camera is a paired camera.
type Camera struct {
	Name     string    `json:"name"`
	ID       string    `json:"id"` // its short fingerprint
	RelayURL string    `json:"relay_url"`
	PairedAt time.Time `json:"paired_at"`
}

// Cameras lists the paired cameras, oldest first.
func (v *Viewer) Cameras() []Camera {
	cameras := make([]Camera, 0, len(v.records))
	for _, r := range v.records {
		cameras = append(cameras, Camera{Name: r.Name, ID: r.Pair.Peer.Fingerprint().Short(), RelayURL: r.RelayURL, PairedAt: r.PairedAt})
	}
	return cameras
}

// find returns the camera of a name or id.
func (v *Viewer) find(name string) (pairing.Record, error) {
	var found []pairing.Record
	for _, r := range v.records {
		if r.Pair.Peer.Fingerprint().Short() == name {
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

// link is a running client for one relay.
type link struct {
	*signaling.Client
	stop func()

	refused context.Context // ends with the last of relayTries
	refuse  context.CancelFunc

	mu       sync.Mutex
	last     error // guarded by mu; why it is not connected
	failures int   // guarded by mu
}

const (
	// relayWait is how long a person waits for a relay that is silent before hearing that it cannot be reached: a little more than
	// one attempt takes.
	relayWait = 11 * time.Second
	// relayTries is how often a relay may refuse before a person hears of it: about a second, enough for one that restarts.
	relayTries = 4
)

// connect runs a client for a relay until stop is called.
func (v *Viewer) connect(ctx context.Context, relayURL string) (*link, error) {
	l := &link{}
	var err error
	l.Client, err = signaling.NewClient(signaling.ClientConfig{URL: relayURL, TLS: v.cfg.TLS, Logger: v.cfg.Logger, OnState: l.state})
	if err != nil {
		return nil, err
	}
	l.refused, l.refuse = context.WithCancel(ctx)
	going, cancel := context.WithCancel(context.WithoutCancel(ctx)) // a session that ends with ctx has a word to say yet
	var running sync.WaitGroup
	running.Go(func() { _ = l.Run(going) }) // returns going's error and no other
	l.stop = func() { cancel(); running.Wait() }
	return l, nil
}

func (l *link) state(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.last = err; err == nil {
		return
	}
	if l.failures++; l.failures >= relayTries {
		l.refuse()
	}
}

// reach waits for the relay and says in plain words why it cannot be reached.
func (l *link) reach(ctx context.Context) error {
	waiting, cancel := context.WithTimeout(ctx, relayWait)
	defer cancel()
	defer context.AfterFunc(l.refused, cancel)()
	err := l.Connect(waiting)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil && l.last != nil && ctx.Err() == nil {
		return l.last
	}
	return err
}

// welcome is the body of the first envelope of a pair.
type welcome struct {
	Name string `json:"name"`
}

// Pair pairs with the camera that shows the code in text. It returns when the camera's first sealed message has opened and
// the pair is on disk.
func (v *Viewer) Pair(ctx context.Context, text string) (Camera, error) {
	code, err := pairing.Parse(text)
	if err != nil {
		return Camera{}, err
	}
	if code.Role != identity.Camera {
		return Camera{}, ErrNotACamera
	}
	relay, err := v.connect(ctx, code.RelayURL)
	if err != nil {
		return Camera{}, err
	}
	defer relay.stop()
	if err := relay.reach(ctx); err != nil {
		return Camera{}, err
	}
	pair, hello, err := scan(ctx, relay.Client, pairing.NewScanner(v.self, code), code)
	if err != nil {
		return Camera{}, err
	}
	record := pairing.Record{Pair: pair, RelayURL: code.RelayURL, Name: v.uniqueName(hello.Name, pair), PairedAt: time.Now()}
	if err := v.store.Put(record); err != nil {
		return Camera{}, err
	}
	v.records = append(v.without(pair), record)
	cameras := v.Cameras()
	return cameras[len(cameras)-1], nil
}

// without is the records but for an earlier pair with the same camera.
func (v *Viewer) without(pair *envelope.Pair) []pairing.Record {
	var kept []pairing.Record
	for _, r := range v.records {
		if r.Pair.Peer.Fingerprint() != pair.Peer.Fingerprint() {
			kept = append(kept, r)
		}
	}
	return kept
}

// uniqueName keeps two cameras of one name apart on this viewer.
func (v *Viewer) uniqueName(name string, pair *envelope.Pair) string {
	if name == "" {
		name = "camera"
	}
	taken := func(name string) bool {
		for _, r := range v.without(pair) {
			if strings.EqualFold(r.Name, name) {
				return true
			}
		}
		return false
	}
	unique := name
	for n := 2; taken(unique); n++ {
		unique = fmt.Sprintf("%s %d", name, n)
	}
	return unique
}

func parseWelcome(body []byte) (welcome, error) {
	var w welcome
	if err := json.Unmarshal(body, &w); err != nil || len(w.Name) > 200 {
		return welcome{}, fmt.Errorf("parse welcome: %w", pairing.ErrInvalid)
	}
	w.Name = session.Printable(w.Name)
	return w, nil
}

// Forget ends the pairing with a camera on this device. The camera keeps it until its owner removes this viewer there.
func (v *Viewer) Forget(name string) error {
	r, err := v.find(name)
	if err != nil {
		return err
	}
	if err := v.store.Remove(r.Pair.Peer.Fingerprint()); err != nil {
		return err
	}
	v.records = v.without(r.Pair)
	return nil
}
