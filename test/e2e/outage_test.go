package e2e

import (
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/pion/stun/v3"

	"github.com/peephole-cam/peephole/test/reserve"
)

// While the relay is away, a session on the direct path continues. When it is back, new ones start and a relayed one
// comes back.
func TestDirectSessionOutlivesTheRelay(t *testing.T) {
	t.Parallel()
	relay, url := startRelayAt(t, reserve.For(t))
	sim := start(t, "camera-sim", "-relay", url, "-state", t.TempDir())
	v := newTerminal(t)
	v.pair(t, sim.line(t, "pair sim-0 "))
	file, other := filepath.Join(t.TempDir(), "direct.h264"), filepath.Join(t.TempDir(), "relayed.h264")
	watching := start(t, "viewer", append(v.flags, "watch", "sim-0", "-json", "-o", file)...)
	relayed := start(t, "viewer", append(v.flags, "watch", "sim-0", "-json", "-relay-only", "-o", other)...)
	since := startStopwatch()
	eventually(t, "both pictures move", func() bool { return size(file) > 40_000 && size(other) > 40_000 })

	relay.stop()
	sim.await(t, "connection refused", 1)
	if o := v.run(t, "watch", "sim-0", "-frames", "1"); o.code == 0 {
		t.Error("the relay is not away")
	}

	before := size(file)
	eventually(t, "a picture without a relay", func() bool { return size(file) > before+50_000 })
	_, again := startRelayAt(t, strings.TrimPrefix(url, "http://"))
	if again != url {
		t.Fatalf("the relay came back at %s, not at %s", again, url)
	}

	sim.await(t, "connected to the relay", 2)
	v.ok(t, "watch", "sim-0", "-frames", "5")
	away := size(other)
	eventually(t, "the relayed picture again", func() bool { return size(other) > away })
	watching.stop()
	w := outcome{stdout: <-watching.lines}.parse(t)
	if code := watching.ProcessState.ExitCode(); code != 0 || w.Path != "direct" || !w.whole(since) {
		t.Errorf("exit %d, %+v; want a direct session without a break", code, w)
	}

	relayed.stop()
	w = outcome{stdout: <-relayed.lines}.parse(t)
	if code := relayed.ProcessState.ExitCode(); code != 1 || w.Path != "relay" || w.Missing == 0 ||
		!strings.Contains(w.Error, "the file has gaps, try again") {
		t.Errorf("exit %d, %+v; want a relayed session that came back, and a word about the hole in its file", code, w)
	}

	plays(t, file)
	plays(t, other)
}

// drained is a relay that is about to drain, and a relayed picture that comes through it meanwhile.
type drained struct {
	relay, sim, watching *process
	url, file            string
	viewer               terminal
	since                stopwatch // since the watching began
}

func newDrained(t *testing.T) drained {
	t.Helper()
	var d drained
	d.relay, d.url = startRelayAt(t, reserve.For(t), "-drain", "10m")
	d.sim = start(t, "camera-sim", "-relay", d.url, "-state", t.TempDir())
	d.viewer = newTerminal(t)
	d.viewer.pair(t, d.sim.line(t, "pair sim-0 "))
	d.file = filepath.Join(t.TempDir(), "relayed.h264")
	d.watching = start(t, "viewer", append(d.viewer.flags, "watch", "sim-0", "-json", "-relay-only", "-o", d.file)...)
	d.since = startStopwatch()
	eventually(t, "the picture moves", func() bool { return size(d.file) > 40_000 })

	return d
}

// drain tells the relay to drain.
func (d drained) drain(t *testing.T) {
	t.Helper()
	if err := d.relay.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	d.relay.await(t, "draining", 1)
}

// enough ends the watching, and checks that no frame was missed.
func (d drained) enough(t *testing.T) {
	t.Helper()
	d.watching.stop()
	w := outcome{stdout: <-d.watching.lines}.parse(t)
	if code := d.watching.ProcessState.ExitCode(); code != 0 || w.Path != "relay" || !w.whole(d.since) {
		t.Errorf("exit %d, %+v; want a relayed session without a break", code, w)
	}
	plays(t, d.file)
}

// ends waits until the relay exits by itself.
func (d drained) ends(t *testing.T) {
	t.Helper()
	eventually(t, "the relay ends", func() bool {
		select {
		case _, open := <-d.relay.lines:
			return !open
		default:
			return false
		}
	})

	d.relay.stop()
	if code := d.relay.ProcessState.ExitCode(); code != 0 {
		t.Errorf("the relay ended with %d", code)
	}
}

// A relay that drains lets a relayed picture continue until its viewer has seen enough, and then exits by itself.
func TestRelayDrains(t *testing.T) {
	t.Parallel()
	d := newDrained(t)
	d.drain(t)
	d.sim.await(t, "the relay is shutting down", 1)
	before := size(d.file)
	eventually(t, "a picture through a relay that drains", func() bool { return size(d.file) > before+100_000 })
	d.enough(t)
	d.ends(t)
}

// A relay that drains makes room for the next one, which takes over the signaling port while the first still serves
// TURN clients, even those that came by this port. A picture under way misses nothing, and new sessions start.
func TestRelayIsReplaced(t *testing.T) {
	t.Parallel()
	d := newDrained(t)
	port := strings.TrimPrefix(d.url, "http://")
	conn, err := net.Dial("tcp", port)
	if err != nil {
		t.Fatal(err)
	}

	defer conn.Close()
	shared, held := &turnSocket{t: t, conn: conn}, askGrant(t, d.url).Viewer
	if code := errorOf(shared.ask(stun.MethodAllocate, held, wantUDP)); code != 0 {
		t.Fatalf("allocate by the shared port: %d", code)
	}
	d.drain(t)

	eventually(t, "the port is free", func() bool {
		c, err := net.Dial("tcp", port)
		if err == nil {
			c.Close()
		}
		return err != nil
	})

	startRelayAt(t, port)
	d.sim.await(t, "connected to the relay", 2)
	before := size(d.file)
	d.viewer.ok(t, "watch", "sim-0", "-frames", "5", "-relay-only")
	eventually(t, "a picture through the relay that drains", func() bool { return size(d.file) > before+50_000 })
	if code := errorOf(shared.ask(stun.MethodRefresh, held)); code != 0 {
		t.Errorf("refresh by the shared port: %d", code)
	}

	d.enough(t)
	// The relay, which only waits for this last allocation to end, may be gone before it answers.
	if _, err := conn.Write(shared.request(stun.MethodRefresh, held, lifetime(0)).Raw); err != nil {
		t.Errorf("the end by the shared port: %v", err)
	}
	d.ends(t)
}

// A camera waits for its relay.
func TestCameraBeforeRelay(t *testing.T) {
	t.Parallel()
	relay, url := startRelayAt(t, reserve.For(t))
	relay.stop()
	sim := start(t, "camera-sim", "-relay", url, "-state", t.TempDir())
	link := sim.line(t, "pair sim-0 ")
	sim.await(t, "cannot reach the relay at "+strings.TrimPrefix(url, "http://")+": connection refused", 2)
	startRelayAt(t, strings.TrimPrefix(url, "http://"))
	sim.await(t, "connected to the relay", 1)
	v := newTerminal(t)
	v.pair(t, link)
	v.ok(t, "watch", "sim-0", "-frames", "5")
}

// A self-signed relay is used by those who were given its certificate, and by nobody else.
func TestSelfSignedRelay(t *testing.T) {
	t.Parallel()
	state := filepath.Join(t.TempDir(), "relay")
	certificate := filepath.Join(state, "self-signed.pem")
	_, url := startRelayAt(t, reserve.For(t), "-tls-self-signed", "-state", state)
	if !strings.HasPrefix(url, "https://") {
		t.Fatalf("ready %s", url)
	}

	const sentence = "its certificate is not trusted: x509: certificate signed by unknown authority"
	untrusting := start(t, "camera-sim", "-relay", url, "-state", t.TempDir())
	untrusting.await(t, sentence, 1)

	camera := startCameraCommand(t, url, "-relay-cert", certificate, "-input", "../../media/clips/clip0.h264")
	sim := startCameraSim(t, url, 1, "-relay-cert", certificate)["sim-0"]
	v := newTerminal(t, "-relay-cert", certificate)
	for name, link := range map[string]string{"porch": camera, "sim-0": sim} {
		v.pair(t, link)
		v.ok(t, "watch", name, "-frames", "5")
		v.ok(t, "watch", name, "-frames", "5", "-relay-only")
	}

	stranger := terminal{v.flags[:2]}
	for _, args := range [][]string{{"pair", camera}, {"watch", "porch", "-frames", "1"}} {
		stranger.run(t, args...).fails(t,
			"cannot reach the relay at "+strings.TrimPrefix(url, "https://")+": "+sentence)
	}

	out, err := exec.CommandContext(t.Context(), filepath.Join(binaries(t), "viewer"), "-relay-cert", "/dev/null",
		"list").CombinedOutput()
	if err == nil || !strings.Contains(string(out),
		"no certificate in the file: give the relay's certificate in PEM form") {
		t.Errorf("an empty certificate file: %v, %q", err, out)
	}
}

// A watch whose time is up while it waits for its camera and relay reports what became of the picture, not what it
// waited for.
func TestTimeIsUpWhileWaiting(t *testing.T) {
	t.Parallel()
	relay, url := startRelayAt(t, reserve.For(t))
	sim := start(t, "camera-sim", "-relay", url, "-state", t.TempDir())
	v := newTerminal(t)
	v.pair(t, sim.line(t, "pair sim-0 "))
	file := filepath.Join(t.TempDir(), "out.h264")
	watching := start(t, "viewer", append(v.flags, "watch", "sim-0", "-json", "-duration", "15s", "-o", file)...)
	eventually(t, "a picture", func() bool { return size(file) > 0 })
	relay.stop()
	sim.stop()
	watching.await(t, "trying again", 1)
	w := outcome{stdout: "{" + watching.line(t, "{")}.parse(t)
	if w.Frames == 0 || !strings.HasPrefix(w.Error, "the file has gaps, try again") {
		t.Errorf("%+v", w)
	}
}
