package jetstream

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/signaling/mail"
	"github.com/peephole-cam/peephole/test/natlab"
)

// diskVariable names the folder on a small disk, in the process that has one.
const diskVariable = "PEEPHOLE_SMALL_DISK"

// A disk fills up while the store is open, also by others, so that JetStream itself cannot write any more. Nothing is
// half-stored, and once there is room everything goes on by itself. The test runs itself again, in a mount namespace
// with a small disk.
func TestStoreSurvivesAFullDisk(t *testing.T) {
	if disk := os.Getenv(diskVariable); disk != "" {
		fillAndClear(t, disk)
		return
	}
	natlab.Need(t)
	cmd := exec.Command("unshare", "-m", "sh", "-c", `mount -t tmpfs -o size=48m tmpfs "$0" && exec "$@"`, t.TempDir(),
		os.Args[0], "-test.run", "^TestStoreSurvivesAFullDisk$", "-test.v")
	cmd.Env = append(os.Environ(), diskVariable+"="+cmd.Args[5])
	if said, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(said), "--- PASS") {
		t.Errorf("%v: %s", err, said)
	}
}

func fillAndClear(t *testing.T, disk string) {
	dir := filepath.Join(disk, "mail")
	s, err := Open(Config{Dir: dir, MaxBytes: 1 << 30, Logger: slog.New(slog.NewTextHandler(os.Stdout, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { s.Close() }()
	first := put(t, s, porch, "first", time.Hour)
	put(t, s, porch, "second", time.Hour)

	filler := filepath.Join(disk, "filler")
	fill(t, filler)
	s.place.(*folder).free.look(time.Time{}, false) // now
	if _, err := s.Put(porch, mail.Message{Body: []byte("refused"), Expires: time.Now().Add(time.Hour)}); err == nil ||
		!errors.Is(err, mail.ErrUnavailable) {
		t.Errorf("on a full disk: %v", err)
	}
	// as if it had filled up just now: JetStream itself has to fail
	s.place.(*folder).free.look(time.Now().Add(time.Hour), false)
	large := mail.Message{Body: make([]byte, 40_000), Expires: time.Now().Add(time.Hour)}
	stored := 0
	for i := range 300 {
		if _, err := s.Put([32]byte{7, byte(i)}, large); err != nil {
			break
		}
		stored++
	}
	if stored == 300 {
		t.Error("12 MB were stored on a full disk")
	}
	err = s.Delete(porch, first)
	fmt.Println("stored", stored, "and the deletion says", err)

	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	s.place.(*folder).free.look(time.Time{}, false)
	deadline := time.Now().Add(10 * time.Second)
	for {
		_, err := s.Put(garden, mail.Message{Body: []byte("again"), Expires: time.Now().Add(time.Hour)})
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("does not go on: ", err)
		}
		time.Sleep(10 * time.Millisecond) // between two tries
	}
	for waiting(t, s, porch) != "second" {
		if time.Now().After(deadline) {
			all, _ := s.Waiting(porch)
			t.Fatalf("the mailbox has %+v; %v; %v", all, s.undone, s.delete(porch, first))
		}
		time.Sleep(10 * time.Millisecond) // between two looks
	}
}

// look makes the next look at the disk happen some time after at.
func (f *freeSpace) look(at time.Time, full bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.at, f.full = at, full
}

// fill leaves no room on a disk.
func fill(t *testing.T, at string) {
	f, err := os.Create(at)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for err == nil {
		_, err = f.Write(make([]byte, 1<<16))
	}
}
