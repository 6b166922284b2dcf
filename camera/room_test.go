package camera

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/crypto/identity"
	"github.com/peephole-cam/peephole/crypto/pairing"
	"github.com/peephole-cam/peephole/signaling"
)

// inTheWay keeps a camera from saving pairs, as a full disk would. mend undoes it.
func inTheWay(t *testing.T, state string) (mend func()) {
	t.Helper()
	path := filepath.Join(state, "pairs")
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}

	return sync.OnceFunc(func() {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	})
}

// The camera shows no code while it cannot save a pair. Once it can, pairing goes on by itself.
func TestPairingWaitsForRoom(t *testing.T) {
	url, operator := startRelay(t)
	ticket := signaling.Ticket{
		NotAfter:        time.Now().Add(time.Hour),
		Mailboxes:       100,
		SessionsPerHour: 100,
	}.Issue(operator)

	state := t.TempDir()
	c, e := newCamera(t, Config{State: state, RelayURL: url, Ticket: ticket})
	mend := inTheWay(t, state)
	log := newAskedAt(t, url)
	c.cfg.Logger = slog.New(slog.NewTextHandler(log.log, nil))
	run(t, c.Run)
	log.says("no code is shown, since a new viewer could not be saved")
	select {
	case <-e.codes:
		t.Fatal("a code is shown although no pair can be saved")
	default:
	}

	mend()
	viewer, err := identity.Generate()
	if err != nil {
		t.Fatal(err)
	}
	scan(t, viewer, await(t, e.codes, "code"))
	await(t, e.paired, "word of the new pair")
	log.says("a new viewer can be saved again: pairing goes on")
	if n := log.logged("no code is shown"); n != 1 {
		t.Errorf("the log says %d times that no code is shown, want once", n)
	}
}

// If the disk fills up while a viewer pairs, neither end is paired. Both people hear why, and the next code works.
func TestPairThatCannotBeSavedIsNotMade(t *testing.T) {
	url, operator := startRelay(t)
	ticket := signaling.Ticket{
		NotAfter:        time.Now().Add(time.Hour),
		Mailboxes:       100,
		SessionsPerHour: 100,
	}.Issue(operator)

	state := t.TempDir()
	c, e := newCamera(t, Config{State: state, RelayURL: url, Ticket: ticket})
	run(t, c.Run)
	code := await(t, e.codes, "code")
	mend := inTheWay(t, state)
	viewer, err := identity.Generate()
	if err != nil {
		t.Fatal(err)
	}

	client, err := signaling.NewClient(signaling.ClientConfig{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	run(t, client.Run)

	if err := refusal(t, client, pairing.NewScanner(viewer, code), code); !errors.Is(err, pairing.ErrUnsaved) {
		t.Errorf("the scanner hears %v, want %v", err, pairing.ErrUnsaved)
	}
	if err := await(t, e.refused, "word to the person"); !strings.Contains(err.Error(), "could not be saved") {
		t.Errorf("the person hears %v", err)
	}

	if c.Owned() {
		t.Error("the camera has an owner")
	}

	mend()
	scan(t, viewer, await(t, e.codes, "next code"))
	await(t, e.paired, "word of the new pair")
}

// refusal scans until the camera refuses.
func refusal(t *testing.T, client *signaling.Client, scanner *pairing.Scanner, code pairing.Code) error {
	t.Helper()
	toDisplayer, toScanner := code.Rendezvous()
	messages := make(chan []byte, 8)
	inbox := signaling.Rendezvous(toScanner.Read, toScanner.Write)
	outbox := signaling.Rendezvous(toDisplayer.Read, toDisplayer.Write)
	defer client.Receive(inbox, func(d signaling.Delivery) bool { messages <- d.Body; return true })()

	for {
		reply, err := scanner.Handle(await(t, messages, "message from the camera"))
		if err != nil {
			return err
		}
		if reply == nil {
			continue
		}
		if err := client.Send(t.Context(), outbox, reply, time.Minute); err != nil {
			t.Fatal(err)
		}
	}
}
