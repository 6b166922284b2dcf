package viewer

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/clock"
	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/crypto/identity"
	"github.com/peephole-cam/peephole/crypto/pairing"
	"github.com/peephole-cam/peephole/media"
	"github.com/peephole-cam/peephole/relay"
	"github.com/peephole-cam/peephole/session"
	"github.com/peephole-cam/peephole/signaling"
)

var zeros = make([]byte, 8)

// aHostList returns a list of random keys.
func aHostList() session.HostList {
	l := session.HostList{
		Version: make([]byte, 8),
		First:   20_779,
		Keys:    make([]byte, 60*32),
		Relays:  []string{"/ip4/192.0.2.1/udp/4001/quic-v1"},
	}
	rand.Read(l.Version)
	rand.Read(l.Keys)
	return l
}

// withCamera returns a viewer that is paired with one camera.
func withCamera(t *testing.T, cfg Config) (*Viewer, pairing.Record) {
	t.Helper()
	v, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.addCamera(newPair(t, v), "https://relay.example", "door"); err != nil {
		t.Fatal(err)
	}
	return v, v.records[0]
}

// A camera's host list stays until the camera is forgotten, or paired again, and only its owner can read it.
func TestHostListIsKeptAsLongAsItsCamera(t *testing.T) {
	state := t.TempDir()
	v, r := withCamera(t, Config{State: state, LAN: true})
	if version := v.hostVersion(r); !bytes.Equal(version, zeros) {
		t.Errorf("without a list the version is %x", version)
	}
	want := aHostList()
	v.keepHostList(r, aHostList())
	v.keepHostList(r, want)

	again, err := Open(Config{State: state, LAN: true})
	if err != nil {
		t.Fatal(err)
	}
	if got := again.hostList(r); !reflect.DeepEqual(got, want) || !bytes.Equal(again.hostVersion(r), want.Version) {
		t.Errorf("%+v is kept; want %+v", got, want)
	}
	if info, err := os.Stat(hostLists.path(v, r.Pair.Peer.Fingerprint())); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file: %v, %v", info, err)
	}

	if _, err := v.addCamera(r.Pair, "https://relay.example", "door"); err != nil {
		t.Fatal(err)
	}
	if got := v.hostList(r); got.Valid() {
		t.Error("the list of the earlier pair is still there")
	}
	v.keepHostList(r, want)
	if err := v.Forget("door"); err != nil {
		t.Fatal(err)
	}
	v.keepHostList(r, want) // from a session that is just ending
	if files, err := os.ReadDir(hostLists.dir(v)); err != nil || len(files) > 0 {
		t.Errorf("%d lists are left of a camera that is forgotten, %v", len(files), err)
	}
}

// A list that comes by a pair which has just been replaced is not kept.
func TestHostListOfAnEarlierPairIsNotKept(t *testing.T) {
	v, r := withCamera(t, Config{State: t.TempDir(), LAN: true})
	pair := *r.Pair
	pair.Secret = envelope.Secret{1}
	if _, err := v.addCamera(&pair, "https://relay.example", "door"); err != nil {
		t.Fatal(err)
	}
	v.keepHostList(r, aHostList())
	if v.hostList(r).Valid() {
		t.Error("it is kept")
	}
}

// The list of a camera whose record was deleted by hand goes at the next start. No other file does.
func TestHostListGoesWithARecordThatIsDeleted(t *testing.T) {
	state := t.TempDir()
	v, r := withCamera(t, Config{State: state, LAN: true})
	v.keepHostList(r, aHostList())
	other := filepath.Join(hostLists.dir(v), "notes.json")
	if err := os.WriteFile(other, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	reopen := func() {
		if _, err := Open(Config{State: state}); err != nil {
			t.Fatal(err)
		}
	}

	reopen()
	if !v.hostList(r).Valid() {
		t.Error("the list of a paired camera is gone")
	}

	name := r.Pair.Peer.Fingerprint().String() + ".json"
	if err := os.Remove(filepath.Join(state, "pairs", name)); err != nil {
		t.Fatal(err)
	}
	reopen()
	if _, err := os.Stat(hostLists.path(v, r.Pair.Peer.Fingerprint())); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the list of a camera that is gone: %v", err)
	}
	if _, err := os.Stat(other); err != nil {
		t.Errorf("another file: %v", err)
	}
}

// A list that cannot be read is as good as none, and the log says so.
func TestDamagedHostListIsAskedForAgain(t *testing.T) {
	for content, why := range map[string]string{
		`{`:             "damaged file of a camera's LAN names",
		`{"version":1}`: "damaged file of a camera's LAN names",
		`{"version":2}`: "file of a camera's LAN names of a newer version: update this program",
	} {
		t.Run(content, func(t *testing.T) {
			var log bytes.Buffer
			v, r := withCamera(t, Config{
				State:  t.TempDir(),
				LAN:    true,
				Logger: slog.New(slog.NewTextHandler(&log, nil)),
			})
			v.keepHostList(r, aHostList())
			file := hostLists.path(v, r.Pair.Peer.Fingerprint())
			if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}

			if version := v.hostVersion(r); !bytes.Equal(version, zeros) {
				t.Errorf("the version is %x", version)
			}
			again := "a camera's LAN names cannot be read: they come anew with its next session"
			for _, said := range []string{why, again} {
				if !strings.Contains(log.String(), said) {
					t.Errorf("the log says %q, and not %q", log.String(), said)
				}
			}
			v.keepHostList(r, aHostList())
			if !v.hostList(r).Valid() {
				t.Error("the next list is not kept")
			}
		})
	}
}

func TestHostListThatCannotBeKeptIsTold(t *testing.T) {
	state := t.TempDir()
	if err := os.WriteFile(filepath.Join(state, "hosts"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	v, r := withCamera(t, Config{State: t.TempDir(), LAN: true, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	v.cfg.State = state
	v.keepHostList(r, aHostList())
	if !strings.Contains(log.String(), "a camera's LAN names cannot be kept on disk") {
		t.Errorf("the log says %q", log.String())
	}
}

// A viewer that keeps away from LANs asks for no list, and keeps none.
func TestViewerWithoutLANWantsNoHostList(t *testing.T) {
	v, r := withCamera(t, Config{State: t.TempDir()})
	if version := v.hostVersion(r); version != nil {
		t.Errorf("the version is %x", version)
	}
	v.keepHostList(r, aHostList())
	if v.hostList(r).Valid() {
		t.Error("it is kept")
	}
}

// showing is a stream of one picture.
type showing struct{ *media.Broadcast }

func (showing) State() media.State { return media.State{Live: true} }

// startRelay runs a relay until the test ends.
func startRelay(t *testing.T) (url string) {
	t.Helper()
	r, err := relay.New(relay.Config{Listen: "127.0.0.1:0", TURN: "127.0.0.1:0", LoopbackUnlimited: true})
	if err != nil {
		t.Fatal(err)
	}
	runUntilEnd(t, r.Run)
	return r.URL()
}

func runUntilEnd(t *testing.T, f func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var work sync.WaitGroup
	work.Go(func() { _ = f(ctx) })
	t.Cleanup(func() { cancel(); work.Wait() })
}

func startClient(t *testing.T, url string) *signaling.Client {
	t.Helper()
	client, err := signaling.NewClient(signaling.ClientConfig{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	runUntilEnd(t, client.Run)
	if err := client.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	return client
}

// serveCamera answers the offers of a viewer, until the test ends, as a camera with a host list. The versions that the
// viewer holds come through the channel.
func serveCamera(t *testing.T, client *signaling.Client, pair *envelope.Pair, list session.HostList) <-chan []byte {
	t.Helper()
	picture := showing{media.NewBroadcast()}
	picture.Send(media.AccessUnit{Data: []byte("picture"), Keyframe: true, Captured: clock.Now()})
	held := make(chan []byte, 8)
	ctx, cancel := context.WithCancel(context.Background())
	var work sync.WaitGroup
	t.Cleanup(func() { cancel(); work.Wait() })

	box := pair.Mailbox(envelope.ToCamera, pair.Day(time.Now()))
	stop := client.Receive(signaling.Mailbox{Read: box.Read, Write: box.Write}, func(d signaling.Delivery) bool {
		opened, err := pair.Open(box, d.Body, time.Now())
		if err != nil {
			t.Errorf("open offer: %v", err)
			return true
		}
		c, err := session.NewCamera(session.CameraConfig{
			Pair:      pair,
			Signal:    client,
			Offer:     opened,
			OfferWire: d.Body,
			Name:      "door",
			Stream:    picture,
			Loopback:  true,
			Logger:    slog.New(slog.DiscardHandler),
			HostList: func(version []byte) *session.HostList {
				held <- version
				return &list
			},
		})
		if err != nil {
			t.Errorf("read offer: %v", err)
			return true
		}

		work.Go(func() { _ = c.Run(ctx) })
		return true
	})

	t.Cleanup(stop)
	return held
}

// linkOver returns a link by one relay alone, whose client somebody else runs.
func linkOver(client *signaling.Client) *link {
	l := &link{relay: client, signal: signaling.Together(), changed: make(chan struct{})}
	l.search = searchOf(l.signal, client)
	return l
}

// searchOf returns a search with one relay, whose client somebody else runs. To the search it is connected.
func searchOf(signal *signaling.Carriers, client *signaling.Client) *relaySearch {
	s, err := newRelaySearch(signal, only("https://relay.example"), new(turnRegions),
		func(session.Place, bool, func(error)) (*signaling.Client, error) { return client, nil })
	if err != nil {
		panic(err) // nothing of it can fail
	}
	s.observe(s.relays[0], nil)
	return s
}

// Sessions and stills say which list the viewer holds, and what comes with the answer is kept.
func TestSessionsAndStillsBringTheHostList(t *testing.T) {
	url, want := startRelay(t), aHostList()
	v, _ := withCamera(t, Config{State: t.TempDir(), LAN: true})
	self, err := identity.Generate()
	if err != nil {
		t.Fatal(err)
	}
	theirs := &envelope.Pair{Self: self, Role: identity.Camera, Peer: v.self.Bundle(), Secret: envelope.Secret{1}}
	ours := &envelope.Pair{Self: v.self, Role: identity.Viewer, Peer: self.Bundle(), Secret: theirs.Secret}
	if _, err := v.addCamera(ours, url, "yard"); err != nil {
		t.Fatal(err)
	}
	r := v.records[1]

	held := serveCamera(t, startClient(t, url), theirs, want)
	l := linkOver(startClient(t, url))
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	still := func() error {
		_, err := v.askStill(ctx, l, r, nil)
		return err
	}

	watch := func() error {
		watching, stop := context.WithCancel(ctx)
		defer stop()
		return v.runSession(watching, l, r, false, session.ViewerConfig{
			OnFrame:  func(session.Frame) { stop() },
			OnPath:   func(session.Path) {},
			OnStatus: func(session.Status) {},
			OnReject: func(r session.Rejection) { t.Errorf("rejected %s: %v", r.What, r.Err) },
			OnPhase:  func(string) {},
		})
	}

	for name, ask := range map[string]func() error{"still": still, "session": watch} {
		if err := hostLists.forget(v, r.Pair.Peer.Fingerprint()); err != nil {
			t.Fatal(err)
		}
		for _, version := range [][]byte{zeros, want.Version} {
			err := ask()
			for errors.Is(err, session.ErrNoAnswer) && ctx.Err() == nil {
				err = ask() // the camera has not opened its mailbox yet
			}
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if got := <-held; !bytes.Equal(got, version) {
				t.Errorf("%s: it says that it holds %x, want %x", name, got, version)
			}
			if got := v.hostList(r); !reflect.DeepEqual(got, want) {
				t.Errorf("%s: %+v is kept; want %+v", name, got, want)
			}
			if got := l.hostNames(); name == "session" && !reflect.DeepEqual(got, want) {
				t.Errorf("the search goes on by %+v, want %+v", got, want)
			}
		}
	}
}

// A camera whose files cannot all be removed is not forgotten, so that a person can try again.
func TestCameraIsForgottenWholeOrNotAtAll(t *testing.T) {
	for _, folder := range []string{"hosts", "pairs"} {
		v, r := withCamera(t, Config{State: t.TempDir(), LAN: true})
		v.keepHostList(r, aHostList())
		file := filepath.Join(v.cfg.State, folder, r.Pair.Peer.Fingerprint().String()+".json")
		if err := errors.Join(os.Remove(file), os.MkdirAll(filepath.Join(file, "x"), 0o700)); err != nil {
			t.Fatal(err)
		}
		if err := v.Forget("door"); err == nil || len(v.Cameras()) != 1 {
			t.Errorf("the file in %s stays: %v, %d cameras", folder, err, len(v.Cameras()))
		}
	}
}
