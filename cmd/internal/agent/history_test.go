package agent

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"strings"
	"testing"
)

// Viewers who ask for the log get what is in the log, below the version, the platform and the time of the start.
func TestViewersGetTheLog(t *testing.T) {
	var log bytes.Buffer
	a, err := New(Flags{State: t.TempDir(), Relay: "http://127.0.0.1:1", NoPortMap: true, Log: logFlags(t)},
		io.Discard, &log)
	if err != nil {
		t.Fatal(err)
	}
	cfg := a.config(Camera{Name: "porch"}, a.Log.With("camera", "porch"))
	cfg.OnRefuse(errors.New("see https://relay.example/pair#CANARY"))
	a.Log.Debug("not in the log")

	header, lines, _ := strings.Cut(string(cfg.Log()), "\ntime=")
	about := regexp.MustCompile(`^peephole \S+, commit .*, go1\S+\n` +
		`[a-z0-9]+/[a-z0-9]+, started \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$`)
	if !about.MatchString(header) {
		t.Errorf("it begins with %q", header)
	}
	if "time="+lines != log.String() || !strings.Contains(lines, `msg="pairing refused" camera=porch`) ||
		strings.Contains(lines, "CANARY") {
		t.Errorf("viewers get %q, the log has %q", lines, &log)
	}
}

// broken is a log that cannot be written.
type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("the disk is full") }

// Lines that cannot be written are not lost to viewers.
func TestViewersGetWhatCouldNotBeWritten(t *testing.T) {
	a, err := New(Flags{State: t.TempDir(), Relay: "http://127.0.0.1:1", NoPortMap: true, Log: logFlags(t)},
		io.Discard, broken{})
	if err != nil {
		t.Fatal(err)
	}
	a.Log.Warn("input")
	if text := string(a.history.text()); !strings.Contains(text, "msg=input\n") {
		t.Errorf("viewers get %q", text)
	}
}

// A viewer that gets the log learns nobody's address from it.
func TestHistoryHasNoAddresses(t *testing.T) {
	for line, want := range map[string]string{
		"dial tcp 192.0.2.7:443: refused":            "dial tcp (address): refused",
		"from 2001:db8::7.":                          "from (address).",
		"to [fe80::1%eth0]:5000, lost":               "to (address), lost",
		"[2001:db8::7] and ::1":                      "(address) and (address)",
		"time=2026-12-01T17:07:03.615Z version 1.26": "time=2026-12-01T17:07:03.615Z version 1.26",
		"took 1.5s: 3 of 4.":                         "took 1.5s: 3 of 4.",
	} {
		if got := string(withoutAddresses([]byte(line))); got != want {
			t.Errorf("%q became %q, want %q", line, got, want)
		}
	}
}
