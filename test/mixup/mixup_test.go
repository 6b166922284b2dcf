package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/test/evilcloud"
	"github.com/peephole-cam/peephole/test/reserve"
)

// build makes the program, sealed or as the control.
func build(t *testing.T, tags string) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "mixup")
	if out, err := exec.Command("go", "build", "-tags", tags, "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return program
}

// takePlaces reserves the cloud's addresses until the test ends: the experiment and its control use the same, one after
// the other.
func takePlaces(t *testing.T, state string) {
	t.Helper()
	var at evilcloud.Config
	for i := range nodes {
		host := fmt.Sprintf("127.0.0.%d:0", 1+i)
		signaling, err1 := reserve.TCP(host)
		turn, err2 := reserve.UDP(host)
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _, _ = signaling.Close(), turn.Close() })
		at.Signaling, at.TURN = append(at.Signaling, signaling.Addr()), append(at.TURN, turn.Addr())
	}

	text, err := json.Marshal(at)
	if err == nil {
		err = os.MkdirAll(state, 0o700)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(state, "cloud.json"), text, 0o600)
	}

	if err != nil {
		t.Fatal(err)
	}
}

// The whole experiment and its control, small: nobody sees a stranger's picture and everybody comes back; without
// sealing, people do see strangers' pictures.
func TestMixup(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	dir := t.TempDir()
	state := filepath.Join(dir, "state")
	takePlaces(t, state)
	sealed, unsealed := filepath.Join(dir, "sealed.json"), filepath.Join(dir, "unsealed.json")
	for _, r := range []struct{ tags, result string }{{"", sealed}, {"unsealed", unsealed}} {
		cmd := exec.CommandContext(ctx, build(t, r.tags), "run", "-households", "40", "-sample", "6", "-live", "3s",
			"-down", "1s", "-fault", "12s",
			"-state", state, "-result", r.result)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("run: %v\n%s", err, out)
		}
	}

	var r pairOfResults
	var err error
	if r.Sealed, err = readResult(sealed); err != nil {
		t.Fatal(err)
	}
	if r.Unsealed, err = readResult(unsealed); err != nil {
		t.Fatal(err)
	}

	if err := r.verdict(); err != nil {
		t.Errorf("%v:\n%s", err, r.table())
	}
	if r.Sealed.CrossedPackets == 0 || r.Sealed.Final.LiveOwn == 0 || r.Sealed.Final.Told == 0 {
		t.Errorf("%d packets of live video crossed, %d live frames, %d people told: this shows too little",
			r.Sealed.CrossedPackets, r.Sealed.Final.LiveOwn, r.Sealed.Final.Told)
	}

	if text, err := r.text(); err != nil || !strings.Contains(text, r.table()) {
		t.Errorf("report: %v\n%s", err, text)
	}
	if plot := string(r.plot()); strings.Contains(plot, "NaN") || strings.Count(plot, "<path") < 6 {
		t.Errorf("plot:\n%s", plot)
	}
}

// Each way in which the numbers would not carry the claim is an error.
func TestNumbersThatProveNothingAreErrors(t *testing.T) {
	good := func() *pairOfResults {
		return &pairOfResults{
			Sealed: &Result{
				Sealed:         true,
				Households:     10,
				Sample:         2,
				Crossed:        5,
				CrossedPackets: 5,
				Final:          counts{Rejected: 5, RejectedPackets: 2, Back: 10, LiveBack: 2},
			},
			Unsealed: &Result{Households: 10, Crossed: 5, Final: counts{Strangers: 5, Saw: 3}},
		}
	}

	if err := good().verdict(); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(r *pairOfResults){
		"a stranger's still":      func(r *pairOfResults) { r.Sealed.Final.Strangers = 1 },
		"a stranger's live frame": func(r *pairOfResults) { r.Sealed.Final.LiveStrangers = 1 },
		"a person who saw":        func(r *pairOfResults) { r.Sealed.Final.Saw = 1 },
		"nothing crossed":         func(r *pairOfResults) { r.Sealed.Crossed = 0 },
		"no message rejected":     func(r *pairOfResults) { r.Sealed.Final.Rejected = 2 },
		"no packet crossed":       func(r *pairOfResults) { r.Sealed.CrossedPackets = 0 },
		"no packet rejected":      func(r *pairOfResults) { r.Sealed.Final.RejectedPackets = 0 },
		"a smaller control":       func(r *pairOfResults) { r.Unsealed.Households = 9 },
		"one did not come back":   func(r *pairOfResults) { r.Sealed.Final.Back = 9 },
		"one session did not":     func(r *pairOfResults) { r.Sealed.Final.LiveBack = 1 },
		"a control without leaks": func(r *pairOfResults) { r.Unsealed.Final.Saw = 0 },
		"an honest control":       func(r *pairOfResults) { r.Unsealed.Crossed = 0 },
		"two sealed runs":         func(r *pairOfResults) { r.Unsealed.Sealed = true },
	} {
		r := good()
		spoil(r)
		if r.verdict() == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestThousands(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 13000: "13,000", 1234567: "1,234,567"} {
		if got := thousands(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}
