//go:build linux

// Package natscluster runs real NATS servers for tests: each is a process of its own, with its own ports on this
// machine and its own folder, so that a test may kill one, freeze it, and start it again. The package must never be
// imported but by tests.
package natscluster

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/test/natlab"
	"github.com/peephole-cam/peephole/test/reserve"
)

// patience ends what hangs. Nothing is measured by it.
const patience = time.Minute

// built builds a NATS server, once per test process, from the module that a relay embeds.
var built = sync.OnceValues(func() (program []byte, err error) {
	dir, err := os.MkdirTemp("", "nats-server-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "nats-server")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", path, "github.com/nats-io/nats-server/v2")
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
})

// Cluster is a number of servers that run until their test ends.
type Cluster struct {
	Servers []*Server
}

// Server is one server of a cluster.
type Server struct {
	t       testing.TB
	program string
	config  string
	address string
	cmd     *exec.Cmd
	log     *os.File
}

// Start starts n servers with JetStream, which form a cluster if there are several.
func Start(t testing.TB, n int) *Cluster {
	t.Helper()
	built, err := built()
	if err != nil {
		t.Fatalf("build nats-server: %v", err)
	}
	program := filepath.Join(t.TempDir(), "nats-server")
	if err := os.WriteFile(program, built, 0o700); err != nil {
		t.Fatal(err)
	}

	routes := make([]string, n)
	for i := range routes {
		routes[i] = reserve.For(t)
	}
	c := new(Cluster)
	for i, route := range routes {
		s := &Server{t: t, program: program, address: reserve.For(t)}
		s.configure(i, route, routes)
		c.Servers = append(c.Servers, s)
	}
	for _, s := range c.Servers {
		s.Start()
	}
	return c
}

// configure writes the server's configuration.
func (s *Server) configure(i int, route string, routes []string) {
	dir := s.t.TempDir()
	text := fmt.Sprintf("server_name: n%d\nlisten: %s\njetstream { store_dir: %q, max_file_store: 1G }\n",
		i, s.address, filepath.Join(dir, "store"))
	if len(routes) > 1 {
		text += fmt.Sprintf("cluster { name: region, listen: %s, no_advertise: true, routes: [nats://%s] }\n",
			route, strings.Join(routes, ", nats://"))
	}

	s.config = filepath.Join(dir, "nats.conf")
	err := os.WriteFile(s.config, []byte(text), 0o600)
	if err == nil {
		s.log, err = os.Create(filepath.Join(dir, "log"))
	}
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(s.end)
}

// end ends the server with the test, and shows its log if the test failed.
func (s *Server) end() {
	s.Kill()
	s.log.Close()
	if text, err := os.ReadFile(s.log.Name()); err == nil && s.t.Failed() {
		lines := bytes.Split(text, []byte("\n"))
		s.t.Logf("the last of %s: %s", s.config, bytes.Join(lines[max(0, len(lines)-30):], []byte("\n")))
	}
}

// URLs returns the URLs of all servers.
func (c *Cluster) URLs() (urls []string) {
	for _, s := range c.Servers {
		urls = append(urls, "nats://"+s.address)
	}
	return urls
}

// Start starts the server, anew if it was killed, and waits until it accepts connections.
func (s *Server) Start() {
	s.t.Helper()
	s.cmd = exec.Command(s.program, "-c", s.config)
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	if err := natlab.StartOutside(s.t.Cleanup, s.cmd); err != nil {
		s.t.Fatal(err)
	}
	for late := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		conn, err := net.Dial("tcp", s.address)
		if err == nil {
			conn.Close()
			return
		}
		if time.Now().After(late) {
			s.t.Fatalf("the NATS server did not start: %v", err)
		}
	}
}

// Kill kills the server by kill -9.
func (s *Server) Kill() {
	if s.cmd != nil {
		s.cmd.Process.Kill()
		s.cmd.Wait()
		s.cmd = nil
	}
}

// Freeze stops the server as a machine that hangs would. Thaw lets it go on.
func (s *Server) Freeze() { s.cmd.Process.Signal(syscall.SIGSTOP) }

// Thaw undoes Freeze.
func (s *Server) Thaw() { s.cmd.Process.Signal(syscall.SIGCONT) }
