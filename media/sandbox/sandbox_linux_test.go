package sandbox

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/peephole-cam/peephole/test/tcptest"
)

// target returns a probe all of whose aims an unconfined program can reach.
func target(t *testing.T) probe {
	t.Helper()
	dir := t.TempDir()
	short, err := os.MkdirTemp("", "s") // not named after the test: a socket's path has at most 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(short) })

	p := probe{
		Needed: filepath.Join(dir, "needed"),
		Other:  filepath.Join(dir, "other"),
		Folder: filepath.Join(dir, "folder"),
		Socket: filepath.Join(short, "service"),
		Parent: os.Getpid(),
	}

	if err := os.Mkdir(p.Folder, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{p.Needed, p.Other, filepath.Join(p.Folder, "old")} {
		if err := os.WriteFile(f, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}

	closing := func(net.Conn) {}
	p.Port = int(tcptest.Start(t, closing).Port())
	p.OtherPort = int(tcptest.Start(t, closing).Port())
	service, err := net.Listen("unix", p.Socket)
	if err != nil {
		t.Fatal(err)
	}

	tcptest.Serve(t, service, closing)
	datagrams, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { datagrams.Close() })

	p.Datagram = datagrams.LocalAddr().(*net.UDPAddr).Port
	return p
}

// whole skips the test on a machine that lacks a protection. In CI that is a failure.
func whole(t *testing.T, held Held) {
	t.Helper()
	if len(held.Missing) == 0 {
		return
	}
	if os.Getenv("CI") != "" {
		t.Fatalf("missing here: %q", held.Missing)
	}
	t.Skipf("missing here: %q", held.Missing)
}

// unprivileged lists what an unconfined program can do as any user.
var unprivileged = []string{
	"read needed", "read other", "read by a shell", "list", "write needed", "create", "remove", "parent's environment",
	"passwords",
	"connect", "connect elsewhere", "datagram", "service", "listen", "netlink", "signal parent",
}

// Everything that an intruder tries fails, except for what the needs allow.
func TestProgramCanDoOnlyWhatItNeeds(t *testing.T) {
	t.Setenv("SECRET", "S3CRET")
	free, _ := target(t).run(t, nil)
	for _, name := range unprivileged {
		if free[name] != "" {
			t.Errorf("an unconfined program cannot %q: %s; the test proves nothing about it", name, free[name])
		}
	}

	for _, tt := range []struct {
		name  string
		needs func(p *probe) Needs
		can   []string
	}{
		{"nothing", func(*probe) Needs { return Needs{} }, nil},
		{"a file", func(p *probe) Needs { return Needs{Read: []string{p.Needed}} }, []string{"read needed"}},
		{"a folder", func(p *probe) Needs { return Needs{Read: []string{p.Folder}} }, []string{"list"}},
		{"a file that is not there", func(*probe) Needs { return Needs{Read: []string{"/nowhere/film.mp4"}} }, nil},
		{"a port", func(p *probe) Needs { return Needs{Network: Network{TCP: uint16(p.Port)}} }, []string{"connect"}},
		{"a port and names", func(p *probe) Needs {
			return Needs{Network: Network{TCP: uint16(p.Port), Names: true}}
		}, []string{"connect", "datagram"}},
		{"a port and local names", func(p *probe) Needs {
			return Needs{Network: Network{TCP: uint16(p.Port), Names: true, Local: true}}
		}, []string{"connect", "datagram", "service"}},
		{"a device", func(p *probe) Needs {
			p.Device = "/dev/full"
			return Needs{Device: p.Device}
		}, []string{"device"}},
		{"no device", func(p *probe) Needs {
			p.Device = "/dev/full"
			return Needs{}
		}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := target(t)
			needs := tt.needs(&p)
			did, held := p.run(t, &needs)
			whole(t, held)

			if e := did["environment"]; strings.Contains(e, "S3CRET") || !strings.Contains(e, "LC_ALL=C") {
				t.Errorf("its environment: %s", e)
			}
			if did["limits"] != "0 4294967296" {
				t.Errorf("its limits: %s", did["limits"])
			}

			if did["capabilities"] != "0" {
				t.Errorf("its capabilities: %s", did["capabilities"])
			}
			for _, name := range []string{"environment", "limits", "capabilities"} {
				delete(did, name)
			}

			want := make(map[string]bool)
			for _, name := range tt.can {
				want[name] = true
			}
			for name, failure := range did {
				if can := failure == ""; can != want[name] {
					t.Errorf("%q works: %v (%s), want %v", name, can, failure, want[name])
				}
			}
		})
	}
}

// The process that starts a confined program keeps its rights, and no thread without them remains.
func TestRestOfTheProcessKeepsItsRights(t *testing.T) {
	p := target(t)
	for range 20 {
		_, held := p.run(t, &Needs{})
		whole(t, held)
		if err := os.WriteFile(p.Other, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}

	if err := connect("tcp", net.JoinHostPort("127.0.0.1", "1")); err == nil ||
		strings.Contains(err.Error(), "permission denied") {
		t.Errorf("connect: %v", err)
	}

	confined := func() (threads []string) {
		paths, err := filepath.Glob("/proc/self/task/*/status")
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			status, err := os.ReadFile(path)
			if err == nil && strings.Contains(string(status), "NoNewPrivs:\t1") {
				threads = append(threads, path)
			}
		}

		return threads
	}

	for deadline := time.Now().Add(30 * time.Second); len(confined()) > 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("confined threads remain: %q", confined())
		}
	}
}

// Neither the program nor its children outlive the context.
func TestProgramEndsWithItsContext(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "alive")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, needs := range map[string]*Needs{"confined": {}, "free": nil} {
		t.Run(name, func(t *testing.T) {
			alive, err := os.OpenFile(fifo, os.O_RDWR, 0) // so that the next open does not wait for a writer
			if err != nil {
				t.Fatal(err)
			}
			reader, err := os.Open(fifo)
			if err != nil {
				t.Fatal(err)
			}
			defer reader.Close()

			cmd := exec.CommandContext(t.Context(), "/bin/sh", "-c", "sleep 600 & exec sleep 600")
			cmd.ExtraFiles = []*os.File{alive}
			process, err := start(cmd, needs)
			if err != nil {
				t.Fatal(err)
			}

			alive.Close()
			if err := cmd.Cancel(); err != nil {
				t.Fatal(err)
			}
			if err := process.Wait(); err == nil {
				t.Error("it ended without an error")
			}

			if n, err := reader.Read(make([]byte, 1)); n != 0 || err == nil {
				t.Errorf("a process still holds the pipe: %d bytes, %v", n, err)
			}
		})
	}
}

// A program does not fit if it needs a forbidden file to start.
func TestFits(t *testing.T) {
	dir := t.TempDir()
	other := filepath.Join(dir, "other")
	if err := os.WriteFile(other, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for script, want := range map[string]bool{
		"exit 0":                   true,
		"exit 1":                   false,
		"exec cat '" + other + "'": false,
	} {
		program := filepath.Join(dir, "program")
		if err := os.WriteFile(program, []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		if got := Fits(t.Context(), program, "-version", Needs{}); got != want {
			t.Errorf("%q fits: %v, want %v", script, got, want)
		}
	}

	if Fits(t.Context(), "/nowhere/program", "-version", Needs{}) {
		t.Error("a program that does not exist fits")
	}
}

func BenchmarkStart(b *testing.B) {
	for name, needs := range map[string]*Needs{"confined": {}, "free": nil} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				process, err := start(exec.CommandContext(b.Context(), "/bin/true"), needs)
				if err == nil {
					err = process.Wait()
				}
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
