package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/media"
)

// terminal is a person at the terminal viewer.
type terminal struct {
	flags []string // before the subcommand
}

func newTerminal(t testing.TB, flags ...string) terminal {
	t.Helper()
	return terminal{append([]string{"-state", filepath.Join(t.TempDir(), "viewer")}, flags...)}
}

// state returns the viewer's directory.
func (v terminal) state() string { return v.flags[1] }

// outcome is what a command left when it ended.
type outcome struct {
	stdout, stderr string
	code           int
}

func (v terminal) run(t testing.TB, args ...string) outcome {
	t.Helper()
	return v.runWith(t, "", args...)
}

// runWith runs a subcommand with a standard input.
func (v terminal) runWith(t testing.TB, stdin string, args ...string) outcome {
	t.Helper()
	return v.runIn(t, nil, stdin, args...)
}

// runIn runs a subcommand in an environment; nil: this process's.
func (v terminal) runIn(t testing.TB, environment []string, stdin string, args ...string) outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(binaries(t), "viewer"), append(v.flags, args...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
	cmd.Env = environment
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || ctx.Err() != nil {
		t.Fatalf("viewer %q: %v %v", args, err, ctx.Err())
	}
	return outcome{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// ok runs a subcommand that must succeed and returns its standard output.
func (v terminal) ok(t testing.TB, args ...string) string {
	t.Helper()
	o := v.run(t, args...)
	if o.code != 0 {
		t.Fatalf("viewer %q: exit %d: %s", args, o.code, o.stderr)
	}
	return o.stdout
}

// fails checks that a command ended with 1 and a sentence, and not just with a timeout.
func (o outcome) fails(t testing.TB, sentence string) {
	t.Helper()
	if o.code != 1 || !strings.Contains(o.stderr, "viewer: "+sentence) && !strings.Contains(o.stderr, sentence+"\n") {
		t.Errorf("exit %d, stderr %q; want 1 and %q", o.code, o.stderr, sentence)
	}
}

func (v terminal) pair(t testing.TB, link string) {
	t.Helper()
	v.ok(t, "pair", link)
}

// watched is what watch -json prints.
type watched struct {
	Camera          string  `json:"camera"`
	Frames          int     `json:"frames"`
	Bytes           int64   `json:"bytes"`
	Rejected        int     `json:"rejected"`
	Missing         int     `json:"missing"`
	Delayed         int     `json:"delayed"`
	Live            bool    `json:"live"`
	Signaling       string  `json:"signaling"`
	SignalingRegion string  `json:"signaling_region"`
	TURNRegion      string  `json:"turn_region"`
	Path            string  `json:"path"`
	Why             string  `json:"why"`
	LocalCandidate  string  `json:"local_candidate"`
	RemoteCandidate string  `json:"remote_candidate"`
	Explain         explain `json:"explain"`
	Sending         struct {
		Rate      int `json:"rate_kbps"`
		RoundTrip int `json:"round_trip_ms"`
		LeftOut   int `json:"left_out"`
	} `json:"sending"`
	TTFF      float64 `json:"ttff_ms"`
	Stream    float64 `json:"stream_ms"`
	Reached   float64 `json:"reached_ms"`
	Answered  float64 `json:"answered_ms"`
	Checked   float64 `json:"checked_ms"`
	Connected float64 `json:"connected_ms"`
	Error     string  `json:"error"`
}

// explain is what a script reads about the choice of a path; see session.Explain.
type explain struct {
	Sentence string `json:"sentence"`
	Region   *struct {
		Name    string `json:"name"`
		Own     int    `json:"own_ms"`
		Other   int    `json:"other_ms"`
		Regions int    `json:"regions"`
	} `json:"region"`
	Role     string `json:"role"`
	Own      end    `json:"own"`
	Other    end    `json:"other"`
	Selected *struct {
		Rung string  `json:"rung"`
		RTT  float64 `json:"rtt_ms"`
	} `json:"selected"`
	Rungs []struct {
		Rung string  `json:"rung"`
		At   float64 `json:"at_ms"`
	} `json:"rungs"`
	Checks []struct {
		Rung  string `json:"rung"`
		Pairs int    `json:"pairs"`
		Sent  int    `json:"sent"`
	} `json:"checks"`
	WhyNot []struct {
		Rung   string `json:"rung"`
		Reason string `json:"reason"`
	} `json:"why_not"`
	Addresses json.RawMessage `json:"addresses"`
}

type end struct {
	Candidates map[string]int `json:"candidates"`
	Mapping    string         `json:"mapping"`
	UDP        string         `json:"udp"`
	Relay      string         `json:"relay"`
}

// parse reads the one object on standard output, and requires all its fields.
func (o outcome) parse(t testing.TB) (w watched) {
	t.Helper()
	var got, want map[string]any
	d := json.NewDecoder(strings.NewReader(o.stdout))
	if err := d.Decode(&got); err != nil || d.More() {
		t.Fatalf("want one JSON object: %v: %q", err, o.stdout)
	}

	all, err := json.Marshal(w)
	if err == nil {
		err = errors.Join(json.Unmarshal(all, &want), json.Unmarshal([]byte(o.stdout), &w))
	}
	if err != nil {
		t.Fatal(err)
	}

	for name := range maps.Keys(want) {
		if _, ok := got[name]; !ok {
			t.Errorf("no field %q in %s", name, o.stdout)
		}
	}

	return w
}

// whole reports whether all frames came, each as soon as the machine allowed.
func (w watched) whole(since stopwatch) bool {
	return w.Rejected+w.Missing == 0 && (w.Delayed == 0 || since.lost() > time.Second)
}

// units reads a file that watch -o has written.
func units(t testing.TB, file string) [][]byte {
	t.Helper()
	stream, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	split, err := media.Split(stream)
	if err != nil {
		t.Fatalf("split %s: %v", file, err)
	}
	return split
}

// plays checks that ffmpeg decodes a file without complaint.
func plays(t *testing.T, file string) {
	t.Helper()
	need(t, "ffmpeg")
	out, err := exec.CommandContext(t.Context(), "ffmpeg", "-v", "error", "-i", file, "-f", "null",
		"-").CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("ffmpeg cannot play what was written: %v\n%s", err, out)
	}
}

// size returns a file's size, or 0 while it does not exist.
func size(file string) int64 {
	info, err := os.Stat(file)
	if err != nil {
		return 0
	}
	return info.Size()
}
