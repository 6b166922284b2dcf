package e2e

import (
	"bufio"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/peephole-cam/peephole/test/natlab"
	"github.com/peephole-cam/peephole/test/tcptest"
)

// startDisplay runs an X server of our own and returns its name.
func startDisplay(t *testing.T) string {
	t.Helper()
	for _, program := range []string{"Xvfb", "xterm", "import", "zbarimg"} {
		need(t, program)
	}
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}

	defer read.Close()
	cmd := exec.Command("Xvfb", "-displayfd", "3", "-screen", "0", "1280x1024x24", "-nolisten", "tcp")
	cmd.ExtraFiles = []*os.File{write}
	runs(t, cmd)
	write.Close()

	number, err := bufio.NewReader(read).ReadString('\n')
	if err != nil {
		t.Fatalf("Xvfb does not say its display: %v", err)
	}
	return ":" + strings.TrimSpace(number)
}

// runs starts a process that ends with the test.
func runs(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if err := natlab.StartOutside(t.Cleanup, cmd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
}

// scan reads the QR code on a screenshot of a display; "" if none can be read.
func scan(t *testing.T, display string) string {
	t.Helper()
	picture := filepath.Join(t.TempDir(), "screen.png")
	shoot := exec.CommandContext(t.Context(), "import", "-display", display, "-window", "root", picture)
	if out, err := shoot.CombinedOutput(); err != nil {
		t.Fatalf("take a screenshot: %v: %s", err, out)
	}

	out, err := exec.CommandContext(t.Context(), "zbarimg", "--quiet", "--raw", picture).Output()
	if err != nil { // it found nothing
		return ""
	}
	return strings.TrimSpace(string(out))
}

// The pairing code is readable on a screenshot of a terminal, dark or light, with UTF-8 or without, even after the
// agent has logged more lines than the terminal has.
func TestPairingCodeIsReadOffAScreenshot(t *testing.T) {
	t.Parallel()
	display := startDisplay(t)
	for _, tt := range []struct{ name, geometry, locale, ink, ground string }{
		{"dark", "80x24+0+0", "C.UTF-8", "white", "black"},
		{"light", "80x24+0+0", "C.UTF-8", "black", "white"},
		{"dark, Latin-1", "100x48+0+0", "de_DE.ISO-8859-1", "white", "black"},
		{"light, Latin-1", "100x48+0+0", "de_DE.ISO-8859-1", "black", "white"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var calls atomic.Int64
			noRelay := tcptest.Start(t, func(net.Conn) { calls.Add(1) }) // so that the agent has something to log
			url := "http://" + noRelay.String()

			cmd := exec.Command("xterm", "-display", display, "-geometry", tt.geometry, "-fa", "DejaVu Sans Mono",
				"-fs", "8",
				"-fg", tt.ink, "-bg", tt.ground, "-cr", tt.ground, "+sb", "-e",
				filepath.Join(binaries(t), "camera-sim"), "-relay", url, "-state", t.TempDir(), "-log-level", "debug")
			cmd.Env = append(os.Environ(), "LC_ALL="+tt.locale)
			runs(t, cmd)

			var link string
			eventually(t, "the code is on the screen", func() bool {
				link = scan(t, display)
				return strings.HasPrefix(link, url+"/pair#")
			})
			before := calls.Load()
			eventually(t, "the agent has called again", func() bool { return calls.Load() >= before+2 })
			if again := scan(t, display); again != link {
				t.Errorf("the code has gone: %q, want %q", again, link)
			}
		})
	}
}
