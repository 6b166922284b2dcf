package model

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"time"

	"pgregory.net/rapid"

	"github.com/peephole-cam/peephole/crypto/expiry"
	"github.com/peephole-cam/peephole/crypto/identity"
	"github.com/peephole-cam/peephole/crypto/pairing"
)

// backup is a copy of a device's disk.
type backup struct {
	device int
	files  map[string][]byte // by path in the device's folder
	disk   disk
	kept   kept
}

// commit puts a pair on a device's disk and into its memory. A store accepts no pair of another role than its own.
func (w *world) commit(t *rapid.T, h *holder, relay string) {
	d, peer := h.device, h.ring.at(h.end.other())
	f := file{of: d.number, by: h.ring, relay: relay, name: "a camera"}
	err := d.store.Put(pairing.Record{Pair: h.pair, RelayURL: relay, Name: f.name, PairedAt: time.Now()})
	if (err == nil) != (h.end == d.end) {
		t.Fatalf("device %d at end %d keeps a pair at end %d: %v", d.number, d.end, h.end, err)
	}

	if err == nil {
		d.disk[peer], d.pairs[peer] = f, h
	}
}

func (w *world) restart(t *rapid.T) { w.start(t, w.drawDevice(t)) }

// start starts a device's process from its disk: everything that was in memory is gone.
func (w *world) start(t *rapid.T, d *device) {
	self, err := identity.LoadOrCreate(d.dir)
	if err != nil {
		t.Fatal(err)
	}
	if d.self != nil && self.Bundle().Fingerprint() != d.self.Bundle().Fingerprint() {
		t.Fatalf("device %d is another one after a restart", d.number)
	}
	if d.expiry, err = expiry.Open(d.dir, d.source()); err != nil {
		t.Fatal(err)
	}

	d.keep(t)
	d.self, d.store, d.pairs = self, pairing.NewStore(d.dir, self, identity.Role(d.end)), make(map[int]*holder)
	w.displays = without(w.displays, func(s *display) bool { return s.device == d })
	w.scans = without(w.scans, func(s *scan) bool { return s.device == d })
	records, err := d.store.Load()
	held := d.disk.held(d.number)
	if len(records) != len(held) || (err == nil) != (len(held) == len(d.disk)) {
		t.Fatalf("device %d loads %d pairs of %d (%v), the oracle says %d", d.number, len(records), len(d.disk), err,
			len(held))
	}

	for _, r := range records {
		peer := w.numbers[r.Pair.Peer.Fingerprint()]
		f, ok := held[peer]
		made := w.secrets[f.by.secret]
		if !ok || !r.Pair.Secret.Equal(made.pair) || !r.Pair.MailboxSecret.Equal(made.mailbox) ||
			r.RelayURL != f.relay || r.Name != f.name {
			t.Fatalf("device %d loads another pair with %d than it kept", d.number, peer)
		}
		w.same(t, r.Pair, f.by, d.end)
		d.pairs[peer] = newHolder(r.Pair, f.by, d.end, d)
	}
	d.otherRole(t)
}

// otherRole starts the wrong program on a device's folder: it must find no pair of its own.
func (d *device) otherRole(t *rapid.T) {
	records, err := pairing.NewStore(d.dir, d.self, identity.Role(d.end.other())).Load()
	if len(records) > 0 || (err == nil) != (len(d.disk) == 0) {
		t.Fatalf("device %d, started in the other role, loads %d pairs (%v)", d.number, len(records), err)
	}
}

func without[T any](all []T, gone func(T) bool) (rest []T) {
	for _, x := range all {
		if !gone(x) {
			rest = append(rest, x)
		}
	}
	return rest
}

const maxBackups = 3

func (w *world) backUp(t *rapid.T) {
	d := w.drawDevice(t)
	b := backup{device: d.number, files: make(map[string][]byte), disk: maps.Clone(d.disk), kept: d.kept}
	err := filepath.WalkDir(d.dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		name, err := filepath.Rel(d.dir, path)
		if err != nil {
			return err
		}

		b.files[name], err = os.ReadFile(path)

		return err
	})
	if err != nil {
		t.Fatal(err)
	}

	d.backups = append(d.backups, b)
	if len(d.backups) > maxBackups {
		d.backups = d.backups[1:]
	}
}

// rollBack restores an old copy of a device's disk, or puts another device's pairs beside its own, and starts the
// device.
func (w *world) rollBack(t *rapid.T) {
	d, from := w.drawDevice(t), w.drawDevice(t)
	if len(from.backups) == 0 {
		return
	}
	b := from.backups[index(t, "backup", len(from.backups))]
	if from == d {
		if err := os.RemoveAll(d.dir); err != nil {
			t.Fatal(err)
		}
		d.disk = make(disk)
		d.kept = b.kept
	}

	maps.Copy(d.disk, b.disk)
	w.happened["rolled back"]++
	for name, content := range b.files {
		if from != d && filepath.Dir(name) == "." { // the identity
			continue
		}
		path := filepath.Join(d.dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	w.start(t, d)
}

// remove ends a pair on one device: a camera removes a viewer, or a viewer forgets a camera.
func (w *world) remove(t *rapid.T) {
	d := w.drawDevice(t)
	peers := d.peers()
	if len(peers) == 0 {
		return
	}
	peer := peers[index(t, "peer", len(peers))]
	fingerprint := w.devices[peer-1].self.Bundle().Fingerprint()
	if err := d.store.Remove(fingerprint); err != nil {
		t.Fatal(err)
	}

	delete(d.disk, peer)
	w.happened["removed"]++
	delete(d.pairs, peer)
	if d.store.Kept(fingerprint) {
		t.Fatalf("device %d still keeps %d", d.number, peer)
	}
}
