//go:build linux

package turnbench

import (
	"bufio"
	"fmt"
	"io"
	"net/netip"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/peephole-cam/peephole/test/turnload"
)

// A server is a running server and its load.
type server struct {
	brand brand
	cmd   *exec.Cmd
	meter meter
	load  *turnload.Load
	stop  func()

	protection string // that the load and the server agreed on for TLS

	shown credentials
	ask   io.Writer
	heaps *bufio.Scanner
}

// start runs a brand's server on some cores, and opens a load of clients for it. Servers that run at the same time have
// different numbers.
func (g ground) start(t testing.TB, b brand, on []int, number, clients int, w way) *server {
	t.Helper()
	at := place{}
	if b.xdp {
		g = *g.forXDP
		at.device = g.server.Device
	}
	at.plain = netip.AddrPortFrom(g.server.Addr, uint16(3478+number))
	if w.secure() {
		at.secure = netip.AddrPortFrom(g.server.Addr, uint16(5349+number))
	}

	s := g.run(t, b, at, on)
	g.awaitServer(t, at)
	if g.server.NAPI != 0 {
		pin(t, g.server.NAPI, on)
	}
	s.meter = newMeter(s.cmd.Process.Pid, g.server.NAPI, on)

	c := turnload.Config{
		Server:      at.plain,
		Plain:       at.plain,
		Secure:      at.secure,
		Clients:     clients,
		First:       g.first,
		Credentials: s.shown,
	}
	if w != byUDP {
		c.By = func(client int) turnload.Transport { return w.ends[client%2] }
	}
	err := g.load.Do(func() (err error) {
		s.load, err = turnload.Open(c)
		return err
	})
	if err == nil {
		s.protection, err = s.load.Protection()
	}
	if err != nil {
		t.Fatalf("%s: %v", b.name, err)
	}
	return s
}

// run runs a brand's server on some cores until the test ends or stop is called.
func (g ground) run(t testing.TB, b brand, at place, on []int) *server {
	t.Helper()
	cmd, shown := b.command(t, at, len(on))
	cmd.Path, cmd.Args = "/usr/bin/taskset", append([]string{"taskset", "-c", list(on)}, cmd.Args...)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	s := &server{brand: b, cmd: cmd, shown: shown, ask: in}

	var said strings.Builder
	cmd.Stderr = &said
	if b.heap {
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		s.heaps = bufio.NewScanner(out)
	}

	if err := g.server.Start(cmd); err != nil {
		t.Fatal(err)
	}
	s.stop = sync.OnceFunc(func() {
		if s.load != nil {
			s.load.Close()
		}
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // was killed
		if t.Failed() && said.Len() > 0 {
			t.Logf("%s said: %s", b.name, said.String())
		}
	})
	t.Cleanup(s.stop)

	if b.heap && !s.heaps.Scan() {
		t.Fatalf("%s did not start", b.name)
	}
	return s
}

// heap returns how large the server's heap is after a collection, and how many goroutines it has.
func (s *server) heap() (bytes, goroutines int, err error) {
	if _, err := fmt.Fprintln(s.ask); err != nil {
		return 0, 0, err
	}
	if !s.heaps.Scan() {
		return 0, 0, io.ErrUnexpectedEOF
	}

	_, err = fmt.Sscan(s.heaps.Text(), &bytes, &goroutines)
	return bytes, goroutines, err
}

// connect makes an allocation for every client, and lets each send to its peer by channels or by indications.
func (s *server) connect(t testing.TB, byChannels bool) {
	t.Helper()
	err := s.load.Allocate()
	switch {
	case err != nil:
	case byChannels:
		err = s.load.BindChannels()
	default:
		err = s.load.CreatePermissions()
	}

	if err != nil {
		t.Fatalf("%s: %v", s.brand.name, err)
	}
}
