//go:build linux

package natlab

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
)

// A namespace is a network namespace, and a mount namespace for the files that give names their meaning. The thread
// that made them holds them open; nothing else does, except for the sockets, devices and processes within.
type namespace struct {
	name string // for errors
	tid  int    // of the thread, by which `ip link` knows the namespace
	work chan func()
	quit chan struct{} // closed to end the thread
	gone chan struct{} // closed when it has ended
}

// newNamespace makes a namespace with its loopback up. files replace files of the machine, by their paths.
func newNamespace(name string, files map[string]string) (*namespace, error) {
	n := &namespace{name: name, work: make(chan func()), quit: make(chan struct{}), gone: make(chan struct{})}
	made := make(chan error)
	go n.hold(files, made)
	if err := <-made; err != nil {
		<-n.gone
		return nil, fmt.Errorf("make namespace %s: %w", name, err)
	}
	if err := n.setUp(); err != nil {
		n.close()
		return nil, fmt.Errorf("make namespace %s: %w", name, err)
	}
	return n, nil
}

// hold makes the namespaces and does the work that must be done within. Its goroutine ends locked to its thread, so
// that the runtime ends the thread instead of reusing it: no other code ever runs in here by accident.
func (n *namespace) hold(files map[string]string, made chan<- error) {
	runtime.LockOSThread()
	defer close(n.gone)
	n.tid = syscall.Gettid()
	err := enter(files)
	made <- err
	if err != nil {
		return
	}

	for {
		select {
		case f := <-n.work:
			f()
		case <-n.quit:
			return
		}
	}
}

// enter moves this thread to namespaces of its own.
func enter(files map[string]string) error {
	if err := syscall.Unshare(syscall.CLONE_NEWNET | syscall.CLONE_NEWNS); err != nil {
		return fmt.Errorf("unshare: %w", err)
	}
	if err := syscall.Mount("none", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}

	for path, source := range files {
		if err := syscall.Mount(source, path, "", syscall.MS_BIND, ""); err != nil {
			return fmt.Errorf("mount %s: %w", path, err)
		}
	}

	return nil
}

// setUp makes the kernel's settings the same on every machine.
func (n *namespace) setUp() error {
	for _, s := range []struct{ key, value string }{
		{"net/ipv4/conf/all/rp_filter", "0"},
		{"net/ipv4/conf/default/rp_filter", "0"},
		{"net/ipv4/conf/all/send_redirects", "0"},
		{"net/ipv4/conf/default/send_redirects", "0"},
		{"net/ipv4/icmp_ratelimit", "0"},
		{"net/ipv6/conf/all/accept_dad", "0"}, // addresses are usable at once
		{"net/ipv6/conf/default/accept_dad", "0"},
		{"net/ipv6/conf/default/accept_ra", "0"},
		{"net/ipv6/conf/default/router_solicitations", "0"},
	} {
		if err := n.sysctl(s.key, s.value); err != nil {
			return err
		}
	}
	return n.ip("link set lo up")
}

// close ends the thread. Processes that it started and that still run are killed (start).
func (n *namespace) close() {
	close(n.quit)
	<-n.gone
}

// do calls f within the namespace. f must neither start goroutines for what has to happen within, nor end its own.
func (n *namespace) do(f func() error) error {
	result := make(chan error, 1)
	select {
	case n.work <- func() { result <- f() }:
		return <-result
	case <-n.gone:
		return fmt.Errorf("enter namespace %s: %w", n.name, net.ErrClosed)
	}
}

// start starts a process within. The kernel kills it when the namespace's thread ends, and therefore when the test
// process ends.
func (n *namespace) start(cmd *exec.Cmd) error {
	endWithThread(cmd)
	return n.do(cmd.Start)
}

// run runs a program within and returns what it printed.
func (n *namespace) run(stdin, name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	var out bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &out
	err := n.start(cmd)
	if err == nil {
		err = cmd.Wait()
	}

	if err != nil {
		return "", fmt.Errorf("%s in %s: %w: %s", name, n.name, err, bytes.TrimSpace(out.Bytes()))
	}
	return out.String(), nil
}

// ip runs commands of ip(8), without the word ip.
func (n *namespace) ip(lines ...string) error {
	text := strings.Join(lines, "\n") + "\n"
	if _, err := n.run(text, "ip", "-batch", "-"); err != nil {
		return fmt.Errorf("%w\n%s", err, text)
	}
	return nil
}

// nft runs a script of nft(8), as one transaction.
func (n *namespace) nft(script string) error {
	if _, err := n.run(script, "nft", "-f", "-"); err != nil {
		return fmt.Errorf("%w\n%s", err, script)
	}
	return nil
}

// sysctl sets a value under /proc/sys. The kernel shows every thread the settings of its own namespace there.
func (n *namespace) sysctl(key, value string) error {
	return n.do(func() error {
		err := os.WriteFile(filepath.Join("/proc/sys", key), []byte(value), 0o600)
		if errors.Is(err, os.ErrNotExist) && strings.HasPrefix(key, "net/bridge/") {
			return nil // bridges without netfilter already leave it alone
		}
		return err
	})
}
