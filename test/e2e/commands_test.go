package e2e

import (
	"encoding/json"
	"fmt"
	"image/jpeg"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/media"
	"github.com/peephole-cam/peephole/test/reserve"
)

// The terminal viewer keeps the contract that scripts rely on.
func TestViewerCommand(t *testing.T) {
	t.Parallel()
	url := startRelayCommand(t)
	sims, links := startCameraSims(t, url, 2)
	v := newTerminal(t)
	if out := v.ok(t, "pair", links["sim-0"]); !strings.HasPrefix(out, "paired sim-0 ") {
		t.Fatalf("pair printed %q", out)
	}
	if o := v.runWith(t, links["sim-1"]+"\n", "pair", "-"); o.code != 0 ||
		!strings.HasPrefix(o.stdout, "paired sim-1 ") {
		t.Fatalf("pair -: exit %d, %q, %q", o.code, o.stdout, o.stderr)
	}

	t.Run("list", func(t *testing.T) { testList(t, v, url) })
	t.Run("watch", func(t *testing.T) { testWatch(t, v) })
	t.Run("watch with flags", func(t *testing.T) { testWatchFlags(t, v) })
	t.Run("what the camera says of the paths", func(t *testing.T) {
		sims.await(t, `msg=path camera=sim-0`, 2)
		said := regexp.MustCompile(`(?m)^.*msg=path.*$`).FindAllString(sims.said(), -1)
		all := strings.Join(said, "\n")
		for _, want := range []string{`rung=lan why="direct: both are on one network"`,
			`rung=relay-\w+ why="relayed.*: the viewer asked to hide its address"`} {
			if !regexp.MustCompile(want).MatchString(all) {
				t.Errorf("no %s in\n%s", want, all)
			}
		}

		if found := regexp.MustCompile(`\d+\.\d+\.\d+\.\d+`).FindString(all); found != "" {
			t.Errorf("the address %s in\n%s", found, all)
		}
	})

	t.Run("snapshot", func(t *testing.T) { testSnapshot(t, v) })
	t.Run("wrong use", func(t *testing.T) { testWrongUse(t, v) })
	t.Run("forget", func(t *testing.T) {
		v.ok(t, "forget", "sim-1")
		if out := v.ok(t, "list"); !strings.Contains(out, "sim-0") || strings.Contains(out, "sim-1") {
			t.Errorf("list after forget:\n%s", out)
		}
		v.run(t, "watch", "sim-1", "-frames", "1").fails(t,
			`find camera "sim-1": no camera of that name is paired: see viewer list`)
	})
}

func testList(t *testing.T, v terminal, url string) {
	type camera struct {
		Name     string
		ID       string
		RelayURL string    `json:"relay_url"`
		PairedAt time.Time `json:"paired_at"`
	}

	var cameras []camera
	if err := json.Unmarshal([]byte(v.ok(t, "list", "-json")), &cameras); err != nil {
		t.Fatal(err)
	}

	// both may have been paired within the same second
	slices.SortFunc(cameras, func(a, b camera) int { return strings.Compare(a.Name, b.Name) })
	text := v.ok(t, "list")
	for i, name := range []string{"sim-0", "sim-1"} {
		if len(cameras) != 2 || cameras[i].Name != name || cameras[i].RelayURL != url || cameras[i].ID == "" ||
			time.Since(cameras[i].PairedAt) > time.Minute {
			t.Fatalf("list -json: %+v", cameras)
		}
		if !strings.Contains(text, name) || !strings.Contains(text, cameras[i].ID) {
			t.Errorf("list without %s:\n%s", name, text)
		}

		if o := v.run(t, "watch", cameras[i].ID, "-frames", "1"); o.code != 0 {
			t.Errorf("watch by id: %s", o.stderr)
		}
	}
}

// testWatch watches by every path, and into a file.
func testWatch(t *testing.T, v terminal) {
	file := filepath.Join(t.TempDir(), "sim.h264")
	for _, tt := range []struct {
		name, camera, path, candidate string
		args                          []string
	}{
		{"direct", "sim-0", "direct", `^(host|srflx|prflx) udp`, nil}, // on one machine all are one address
		{"high profile", "sim-1", "direct", `^(host|srflx|prflx) udp`, nil},
		{"relayed", "sim-0", "relay", `^relay udp`, []string{"-relay-only"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			since := startStopwatch()
			o := v.run(t, append([]string{"watch", tt.camera, "-frames", "20", "-json", "-o", file}, tt.args...)...)
			w := o.parse(t)
			if o.code != 0 || w.Camera != tt.camera || w.Frames != 20 || !w.whole(since) || w.Error != "" {
				t.Errorf("exit %d, %+v, %s; want 20 frames of %s", o.code, w, o.stderr, tt.camera)
			}

			if w.Path != tt.path || w.Why == "" || !regexp.MustCompile(tt.candidate).MatchString(w.LocalCandidate) ||
				w.RemoteCandidate == "" {
				t.Errorf("path %q (%s), %q, %q; want %s", w.Path, w.Why, w.LocalCandidate, w.RemoteCandidate, tt.path)
			}
			testExplained(t, w, tt.path == "relay")
			if w.TTFF < w.Answered || w.Answered <= 0 || w.Connected < w.Answered || w.Stream < w.Connected {
				t.Errorf("answered, saw a picture, connected and had the stream after %v, %v, %v and %v ms", w.Answered,
					w.TTFF, w.Connected, w.Stream)
			}

			if w.Bytes != size(file) || len(units(t, file)) != 20 {
				t.Errorf("the file holds %d bytes, %d access units; reported %d", size(file), len(units(t, file)),
					w.Bytes)
			}
		})
	}
}

// watchLonger watches for a second, and longer if it gets fewer frames than are enough: the time begins before the
// connection, which may take that long on a busy machine. It returns how long the last time was.
func (v terminal) watchLonger(t *testing.T, enough int, args ...string) (o outcome, took time.Duration) {
	t.Helper()
	for took = time.Second; took < 30*time.Second; took *= 3 {
		o = v.run(t, append([]string{"watch", "sim-0", "-json", "-duration", took.String()}, args...)...)
		if o.parse(t).Frames >= enough {
			break
		}
	}
	return o, took
}

// testWatchFlags watches with flags that say what to show, where to write, and when to end.
func testWatchFlags(t *testing.T, v terminal) {
	t.Run("with addresses", func(t *testing.T) {
		o := v.run(t, "watch", "sim-0", "-frames", "5", "-json", "-explain-addresses")
		if w := o.parse(t); o.code != 0 || !strings.Contains(string(w.Explain.Addresses), "host4 127.0.0.1:") {
			t.Errorf("exit %d, addresses %s", o.code, w.Explain.Addresses)
		}
	})

	t.Run("to standard output", func(t *testing.T) {
		o := v.run(t, "watch", "sim-0", "-frames", "5", "-o", "-")
		if split, err := media.Split([]byte(o.stdout)); err != nil || len(split) != 5 || o.code != 0 {
			t.Errorf("exit %d, %d access units on standard output, %v; want 5", o.code, len(split), err)
		}
	})

	t.Run("for a while", func(t *testing.T) {
		o, took := v.watchLonger(t, 5)
		if w := o.parse(t); o.code != 0 || w.Frames < 5 || w.Frames > 40*int(took.Seconds()) {
			t.Errorf("exit %d, %d frames in %v", o.code, w.Frames, took)
		}
	})

	t.Run("too few frames in time", func(t *testing.T) {
		o, _ := v.watchLonger(t, 1, "-frames", "1000")
		w := o.parse(t)
		o.fails(t, "not everything you asked for arrived: ")
		if !strings.Contains(w.Error, "not everything you asked for arrived") || w.Frames == 0 {
			t.Errorf("reported %+v", w)
		}
	})

	t.Run("full disk", func(t *testing.T) {
		o := v.run(t, "watch", "sim-0", "-frames", "20", "-json", "-o", "/dev/full")
		o.fails(t, "write stream: write /dev/full: no space left on device")
		if w := o.parse(t); w.Frames != 0 || w.Bytes != 0 || !strings.Contains(w.Error, "no space left on device") {
			t.Errorf("reported %+v", w)
		}
	})

	t.Run("full disk behind standard output", func(t *testing.T) {
		full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer full.Close()
		for _, args := range [][]string{{"list"}, {"list", "-json"}, {"watch", "sim-0", "-frames", "1", "-json"},
			{"watch", "sim-0", "-frames", "1", "-o", "-"}} {
			cmd := exec.CommandContext(t.Context(), filepath.Join(binaries(t), "viewer"), append(v.flags, args...)...)
			cmd.Stdout = full
			if err := cmd.Run(); cmd.ProcessState.ExitCode() != 1 {
				t.Errorf("viewer %q to a full disk: %v", args, err)
			}
		}
	})
}

// testExplained checks the explanation of a session on one machine: both ends are on one network without NAT, unless
// the viewer asked for the relay, and no address is shown.
func testExplained(t *testing.T, w watched, relayed bool) {
	t.Helper()
	e := w.Explain
	rung, reasons, mapping := "lan", "", "none"
	if relayed {
		rung, reasons, mapping = "relay-", " lan: relay_only ipv6: relay_only direct: relay_only", "unknown"
	}

	got := ""
	for _, m := range e.WhyNot {
		if !strings.HasPrefix(m.Rung, "relay-") { // either path to the relay may come first
			got += " " + m.Rung + ": " + m.Reason
		}
	}

	if e.Sentence != w.Why || e.Role != "viewer" || e.Selected == nil || !strings.HasPrefix(e.Selected.Rung, rung) ||
		len(e.Rungs) == 0 || e.Rungs[len(e.Rungs)-1].Rung != e.Selected.Rung || got != reasons {
		t.Errorf("explained: %+v, want %s,%s", e, rung, reasons)
	}
	if e.Own.Mapping != mapping || e.Own.UDP != "open" || e.Own.Relay != "udp" || e.Own.Candidates["relay4"] == 0 ||
		(e.Own.Candidates["host4"] == 0) != relayed {
		t.Errorf("own network: %+v", e.Own)
	}

	if len(e.Addresses) > 0 {
		t.Errorf("addresses that nobody asked for: %s", e.Addresses)
	}
}

func testSnapshot(t *testing.T, v terminal) {
	need(t, "ffmpeg")
	clips, err := media.Clips()
	if err != nil {
		t.Fatal(err)
	}
	for n, clip := range clips[:2] {
		file := filepath.Join(t.TempDir(), "snapshot.jpg")
		v.ok(t, "snapshot", fmt.Sprintf("sim-%d", n), "-o", file)
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}

		picture, err := jpeg.Decode(f)
		f.Close()
		if err != nil {
			t.Fatalf("sim-%d: %v", n, err)
		}
		r, g, b, _ := picture.At(2, 2).RGBA()
		got, want := [3]int{int(r >> 8), int(g >> 8), int(b >> 8)},
			[3]int{int(clip.Background.R), int(clip.Background.G), int(clip.Background.B)}
		for i := range want {
			if d := got[i] - want[i]; d < -12 || d > 12 || picture.Bounds().Dx() != 640 {
				t.Errorf("sim-%d: %v, corner %v; want 640 wide and %v", n, picture.Bounds(), got, want)
				break
			}
		}
	}

	v.run(t, "snapshot", "sim-0", "-o", "/dev/full").fails(t, "write picture: write /dev/full: no space left on device")
	v.run(t, "snapshot", "sim-0").fails(t, "no output file: say -o FILE.jpg")
	v.run(t, "snapshot", "nobody", "-o", "-").fails(t,
		`find camera "nobody": no camera of that name is paired: see viewer list`)
}

func testWrongUse(t *testing.T, v terminal) {
	for _, tt := range []struct {
		sentence string
		args     []string
	}{
		{`find camera "nobody": no camera of that name is paired: see viewer list`, []string{"watch", "nobody"}},
		{`find camera "nobody": no camera of that name is paired: see viewer list`, []string{"forget", "nobody"}},
		{"-json and -o - both write to standard output: write the stream to a file instead",
			[]string{"watch", "sim-0", "-json", "-o", "-"}},
		{"watch takes one argument, NAME: see viewer watch -h", []string{"watch"}},
		{"list takes no argument: see viewer list -h", []string{"list", "sim-0"}},
		{`unknown command "look": see viewer -h`, []string{"look"}},
	} {
		v.run(t, tt.args...).fails(t, tt.sentence)
	}
	if o := v.run(t, "-h"); o.code != 0 || !strings.Contains(o.stdout, "watch NAME") {
		t.Errorf("-h: exit %d, %q", o.code, o.stdout)
	}
}

// A person who sees no picture reads why: the camera is off, or the relay cannot be reached.
func TestViewerHearsWhy(t *testing.T) {
	t.Parallel()
	relay, url := startRelayAt(t, reserve.For(t))
	sim := start(t, "camera-sim", "-relay", url, "-state", t.TempDir())
	v := newTerminal(t)
	link := sim.line(t, "pair sim-0 ")
	v.pair(t, link)
	sim.stop()
	const off = "your camera did not answer: it may be off or without internet"
	o := v.run(t, "watch", "sim-0", "-frames", "1", "-json")
	o.fails(t, off)
	if w := o.parse(t); w.Error != off || w.Frames != 0 {
		t.Errorf("reported %+v", w)
	}

	relay.stop()
	down := "cannot reach the relay at " + strings.TrimPrefix(url, "http://") + ": connection refused"
	for _, args := range [][]string{{"watch", "sim-0", "-frames", "1"}, {"snapshot", "sim-0", "-o", "-"},
		{"pair", link}} {
		began := startStopwatch()
		v.run(t, args...).fails(t, down)
		if took := began.took(); took > 6*time.Second {
			t.Errorf("viewer %q: a person waits %s to hear that the relay is down", args, took)
		}
	}
}

// Keys and pairs are private files that outlive their processes.
func TestKeysAndPairsOutliveTheirProcesses(t *testing.T) {
	t.Parallel()
	url := startRelayCommand(t)
	state := filepath.Join(t.TempDir(), "cameras")
	sim := start(t, "camera-sim", "-relay", url, "-state", state)
	v := newTerminal(t)
	v.pair(t, sim.line(t, "pair sim-0 "))
	sim.stop()
	restarted := start(t, "camera-sim", "-relay", url, "-state", state)
	restarted.await(t, "connected to the relay", 1)
	v.ok(t, "watch", "sim-0", "-frames", "5")
	restarted.stop()
	for line := range restarted.lines {
		t.Errorf("an owned camera printed %q", line)
	}

	for _, dir := range []string{state, v.state()} {
		checkPrivate(t, dir)
	}

	const sentence = "file holds secrets and is readable by others: run chmod 600 on it"
	for _, file := range []string{filepath.Join(v.state(), "identity.key"),
		filepath.Join(state, "sim-0", "identity.key")} {
		if err := os.Chmod(file, 0o640); err != nil {
			t.Fatal(err)
		}
	}

	v.run(t, "list").fails(t, "load viewer identity: read key file: "+filepath.Join(v.state(), "identity.key")+": "+
		sentence)
	out, err := exec.CommandContext(t.Context(), filepath.Join(binaries(t), "camera-sim"), "-relay", url, "-state",
		state).CombinedOutput()
	if err == nil || !strings.Contains(string(out), sentence) {
		t.Errorf("camera with a readable key: %v, %q", err, out)
	}
}

func checkPrivate(t *testing.T, dir string) {
	t.Helper()
	var files []string
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}

		want := fs.FileMode(0o600)
		if entry.IsDir() {
			want = fs.ModeDir | 0o700
		} else {
			files = append(files, filepath.Base(path))
		}

		if info.Mode() != want {
			t.Errorf("%s has mode %v, want %v", path, info.Mode(), want)
		}
		return nil
	})
	if err != nil || !slices.Contains(files, "identity.key") || len(files) < 2 {
		t.Errorf("%s holds %q, %v; want a key and a pair", dir, files, err)
	}
}

// A camera's words cannot play tricks with the terminal that shows them.
func TestTerminalShowsPlainText(t *testing.T) {
	t.Parallel()
	const name = "porch\x1b[2J\u202e"
	refused := start(t, "camera", "-relay", "http://127.0.0.1:1", "-state", t.TempDir(), "-name", name, "-input",
		"../../media/clips/clip0.h264")
	refused.await(t, "want 1 to 64 printable characters", 1)

	link := startTroll(t, startRelayCommand(t), name, "go away\x1b[2J\u202e\n")
	v := newTerminal(t)
	shown := v.ok(t, "pair", link) + v.ok(t, "list") + v.ok(t, "list", "-json")
	if strings.ContainsAny(shown, "\x1b\u202e") || strings.Count(shown, "porch?[2J?") != 3 {
		t.Errorf("shown: %q", shown)
	}
	v.run(t, "watch", "porch?[2J?", "-frames", "1").fails(t, "go away?[2J??")
}
