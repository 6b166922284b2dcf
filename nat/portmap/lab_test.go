//go:build linux

package portmap

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/test/natlab"
)

// inLabVariable is the environment variable with the protocol that this test program uses when it runs on a host in a
// lab.
const inLabVariable = "PEEPHOLE_PORTMAP_BY"

// inLab is the program that runs on a host in a lab; it reports whether it ran. It has a port mapped until it reads a
// line, prints where, and echoes what arrives there until its standard input ends.
func inLab() bool {
	by := os.Getenv(inLabVariable)
	if by == "" {
		return false
	}
	conn, err := net.Dial("udp4", "192.0.2.1:9") // to learn this host's own address
	if err != nil {
		fmt.Println(err)
		return true
	}

	local := conn.LocalAddr().String()
	conn.Close()
	socket, err := net.ListenPacket("udp4", local)
	if err != nil {
		fmt.Println(err)
		return true
	}

	go func() {
		b := make([]byte, 1500)
		for {
			n, from, err := socket.ReadFrom(b)
			if err != nil {
				return
			}
			_, _ = socket.WriteTo(b[:n], from)
		}
	}()

	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan struct{})
	go func() {
		defer close(over)
		lines := bufio.NewScanner(os.Stdin)
		lines.Scan()
		cancel()
		lines.Scan()
	}()

	m := New(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})))
	m.protocols = slices.DeleteFunc(m.protocols, func(n named) bool { return by != "all" && n.name != by })
	err = m.Map(ctx, socket.LocalAddr().(*net.UDPAddr).AddrPort(), func(a netip.AddrPort) { fmt.Println("found", a) })
	fmt.Println("ended", err)
	<-over
	return true
}

// asked is a run of inLab on a host.
type asked struct {
	*exec.Cmd
	stdin io.WriteCloser
	lines *bufio.Scanner
}

func start(t *testing.T, h *natlab.Host, by string) *asked {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), inLabVariable+"="+by)
	stdin, err1 := cmd.StdinPipe()
	stdout, err2 := cmd.StdoutPipe()
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}

	cmd.Stderr = t.Output()
	if err := h.Start(cmd); err != nil {
		t.Fatal(err)
	}
	return &asked{cmd, stdin, bufio.NewScanner(stdout)}
}

// line returns the next line that it prints.
func (a *asked) line(t *testing.T) string {
	t.Helper()
	if !a.lines.Scan() {
		t.Fatal("it ended")
	}
	return a.lines.Text()
}

// echoes reports whether what is sent to an address comes back.
func echoes(t *testing.T, from *natlab.Host, to string, patience time.Duration) bool {
	t.Helper()
	conn, err := from.Dial(net.Dialer{}, "udp4", to)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()

	b := make([]byte, 100)
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if _, err := conn.Write([]byte("anybody there?")); err != nil {
			return false
		}
		conn.SetReadDeadline(time.Now().Add(250 * time.Millisecond))
		if n, err := conn.Read(b); err == nil {
			return string(b[:n]) == "anybody there?"
		}
	}

	return false
}

// TestMiniupnpd: a real miniupnpd maps the port by each of the three protocols, and the world reaches the port as long
// as it is mapped, and no longer.
func TestMiniupnpd(t *testing.T) {
	for _, tt := range []struct {
		by   string
		ways []natlab.Control
	}{
		{"PCP", []natlab.Control{natlab.PCP}},
		{"NAT-PMP", []natlab.Control{natlab.PCP}},
		{"UPnP", []natlab.Control{natlab.UPnP}},
		{"all", []natlab.Control{natlab.PCP, natlab.UPnP}},
		{"all", []natlab.Control{natlab.UPnP}}, // a router without PCP
	} {
		t.Run(tt.by+" of "+fmt.Sprint(tt.ways), func(t *testing.T) {
			t.Parallel()
			lab := natlab.New(t)
			stranger := lab.Public("stranger")
			host := lab.Behind("host", natlab.PortRestricted)
			outside := host.Network().OpenPorts(tt.ways...)
			a := start(t, host, tt.by)
			found := strings.TrimPrefix(a.line(t), "found ")
			at, err := netip.ParseAddrPort(found)
			if err != nil || at.Addr() != outside {
				t.Fatalf("%s, want a port of %v", found, outside)
			}

			if !echoes(t, stranger, found, 20*time.Second) {
				t.Error("the world does not reach the port")
			}
			io.WriteString(a.stdin, "enough\n")
			if line := a.line(t); line != "ended <nil>" {
				t.Error(line)
			}

			if echoes(t, stranger, found, time.Second) { // from another port, which the connection table does not know
				t.Error("the port is still open")
			}
			a.stdin.Close()
			if err := a.Wait(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestRouterWithoutMiniupnpdRefuses: where no router opens ports, that is found out in time.
func TestRouterWithoutMiniupnpdRefuses(t *testing.T) {
	lab := natlab.New(t)
	began := time.Now()
	line := start(t, lab.Behind("host", natlab.PortRestricted), "all").line(t)
	if !strings.Contains(line, ErrRefused.Error()) {
		t.Error(line)
	}

	t.Logf("found out after %v", time.Since(began))
	if line := start(t, lab.Public("open"), "all").line(t); !strings.Contains(line, ErrNoRouter.Error()) {
		t.Error(line)
	}
}
