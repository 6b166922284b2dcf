//go:build unix

package expiry

import (
	"os"
	"syscall"
	"testing"
)

// A process that is suspended while it writes holds up nobody. What others could not write meanwhile is written later.
func TestStoppedProcessHoldsUpNobody(t *testing.T) {
	m := newMachine(t)
	c := m.open(t)
	d, err := os.Open(m.dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()

	if err := syscall.Flock(int(d.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	confirm(t, c, noon)
	if f := m.file(t); f != "" {
		t.Fatalf("written in spite of the lock: %s", f)
	}

	if err := syscall.Flock(int(d.Fd()), syscall.LOCK_UN); err != nil {
		t.Fatal(err)
	}
	keep(t, c)
	if m.file(t) == "" {
		t.Error("not written after the lock is gone")
	}
}
