package camera

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/crypto/identity"
	"github.com/peephole-cam/peephole/session"
)

// hosts asks for a session and says that the viewer holds a version. It returns the host list of the answer, or nil.
func (a *asked) hosts(held []byte) (list *session.HostList) {
	a.t.Helper()
	if answered, err := a.watchWith(session.ViewerConfig{
		HostVersion: held,
		OnHostList:  func(l session.HostList) { list = &l },
	}); !answered {
		a.t.Fatalf("not answered: %v", err)
	}
	return list
}

// name returns the camera's newest name, and how many it goes by.
func (a *asked) name() (newest ed25519.PublicKey, names int) {
	today := a.camera.hosts.today(a.camera.clock.Now())
	return today[0].Public().(ed25519.PublicKey), len(today)
}

// A viewer learns the camera's names in its first session, hears nothing new in the next, and learns the new names
// after the camera's owner has removed somebody else who knew the old ones.
func TestViewerLearnsTheHostList(t *testing.T) {
	a := newAsked(t)
	a.lan = true
	a.start(time.Now())
	list := a.hosts(noList)
	name, _ := a.name()
	if list == nil || countKey(list.PublicKeys(), name) != 1 {
		t.Fatalf("the first session brings %+v", list)
	}
	if again := a.hosts(list.Version); again != nil {
		t.Errorf("the second session brings %+v", again)
	}
	if unasked := a.hosts(nil); unasked != nil {
		t.Errorf("a session whose viewer did not ask brings %+v", unasked)
	}

	other := a.enrollOther()
	if l := a.camera.hosts.listFor(other, noList, nil, time.Now()); l == nil {
		t.Fatal("the other viewer gets no list")
	}
	if err := a.camera.Remove(other); err != nil {
		t.Fatal(err)
	}
	newest, names := a.name()
	if newest.Equal(name) || names != 2 {
		t.Fatalf("after a removal the camera goes by %d names", names)
	}

	fresh := a.hosts(list.Version)
	if fresh == nil || countKey(fresh.PublicKeys(), newest) != 1 || bytes.Equal(fresh.Version, list.Version) {
		t.Fatalf("after a removal the session brings %+v", fresh)
	}
	a.hosts(fresh.Version)
	if newest, names := a.name(); names != 1 || countKey(fresh.PublicKeys(), newest) != 1 {
		t.Errorf("once everybody knows the new name the camera goes by %d", names)
	}
}

// enrollOther puts another viewer on the roster.
func (a *asked) enrollOther() Fingerprint {
	a.t.Helper()
	self, err := identity.Generate()
	if err != nil {
		a.t.Fatal(err)
	}
	pair := *a.camera.viewers[a.self.Bundle().Fingerprint()].record.Pair
	pair.Peer = self.Bundle()
	record := a.camera.viewers[a.self.Bundle().Fingerprint()].record
	record.Pair = &pair
	if err := a.camera.store.Put(record); err != nil {
		a.t.Fatal(err)
	}

	a.camera.mu.Lock()
	defer a.camera.mu.Unlock()
	a.camera.viewers[self.Bundle().Fingerprint()] = &viewer{camera: a.camera, record: record}
	return self.Bundle().Fingerprint()
}

// A viewer whose file is deleted, while the camera runs or while it is off, is as removed as any: the camera goes by
// another name.
func TestDeletedViewerDoesNotKnowTheNextName(t *testing.T) {
	for _, running := range []bool{true, false} {
		a := newAsked(t)
		a.lan = true
		a.start(time.Now())
		a.hosts(noList)
		name, _ := a.name()
		file := filepath.Join(a.state, "pairs", a.self.Bundle().Fingerprint().String()+".json")
		if !running {
			a.stop()
		}
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}

		if running {
			a.camera.removeDeleted()
		} else {
			a.start(time.Now())
		}
		if newest, names := a.name(); newest.Equal(name) || names != 1 {
			t.Errorf("deleted while it runs: %t; the camera goes by %d names, one of them the old one: %t", running,
				names, newest.Equal(name))
		}
	}
}

// A camera that keeps away from LANs has no host keys, and answers as ever.
func TestCameraWithoutLANHasNoHostList(t *testing.T) {
	a := newAsked(t)
	a.start(time.Now())
	if list := a.hosts(noList); list != nil {
		t.Errorf("the session brings %+v", list)
	}
	if _, err := os.Stat(filepath.Join(a.state, "lan.json")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file of host keys: %v", err)
	}
}

func TestCircuitRelaysAreChecked(t *testing.T) {
	for relay, ok := range map[string]bool{
		"/dns4/relay.example/udp/4001/quic-v1/p2p/12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp": true,
		"https://relay.example": false,
		"":                      false,
	} {
		err := Config{
			Stream:    picture(),
			State:     t.TempDir(),
			RelayURL:  "http://127.0.0.1:1",
			LAN:       true,
			P2PRelays: []string{relay},
		}.Validate()
		if (err == nil) != ok || !ok && !errors.Is(err, ErrConfig) {
			t.Errorf("%q: %v", relay, err)
		}
	}
}
