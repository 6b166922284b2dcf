package evilcloud

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/signaling"
)

// A dump holds what was posted, the logs and the keys, with which one can make a credential and a ticket of the
// cloud's.
func TestDumpHoldsMessagesLogsAndKeys(t *testing.T) {
	c, a, _ := startWithTwoDevices(t)
	if err := errors.Join(a.postWithin(t, a.box, "a secret", patience),
		a.postWithin(t, a.box, "reject this", patience)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a line of the log", func() bool {
		return bytes.Contains(c.Dump().Log, []byte("a client rejected a delivery"))
	})
	d := c.Dump()
	if !slices.ContainsFunc(d.Posted, func(p Posted) bool {
		return string(p.Body) == "a secret" && p.Name == [32]byte(a.box.Name()) && p.Kept
	}) {
		t.Error("what was posted is not in the dump")
	}

	if len(d.Secrets) != 2 {
		t.Errorf("%d secrets", len(d.Secrets))
	}
	if _, err := signaling.ParseTicket(c.Ticket(), d.Operator.Public().(ed25519.PublicKey), time.Now()); err != nil {
		t.Error(err)
	}
}
