//go:build linux

package natlab

import (
	"bufio"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/test/noleak"
)

func TestMain(m *testing.M) { noleak.Main(m) }

// identity returns what the kernel calls a namespace.
func (n *namespace) identity(t *testing.T) string {
	t.Helper()
	id, err := os.Readlink(fmt.Sprintf("/proc/self/task/%d/ns/net", n.tid))
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func (l *Lab) namespaces() []*namespace {
	all := []*namespace{l.internet}
	for _, n := range l.networks {
		for _, r := range n.routers {
			all = append(all, r.namespace)
		}
	}

	for _, h := range l.hosts {
		all = append(all, h.ns)
	}
	return all
}

// held keeps namespaces from disappearing while the test looks for threads in them. Otherwise the kernel would give
// their identities to the next namespaces, which may be another lab's.
func held(t *testing.T, identities []string) {
	t.Helper()
	threads, err := filepath.Glob("/proc/[0-9]*/task/[0-9]*/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range identities {
		i := slices.IndexFunc(threads, func(path string) bool {
			at, err := os.Readlink(path)
			return err == nil && at == id
		})
		if i < 0 {
			t.Fatalf("nobody is in %s", id)
		}

		file, err := os.Open(threads[i])
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { file.Close() })
	}
}

// inUse reports whether any thread of the machine is in one of the namespaces.
func inUse(t *testing.T, identities []string) bool {
	t.Helper()
	threads, err := filepath.Glob("/proc/[0-9]*/task/[0-9]*/ns/net")
	if err != nil || len(threads) == 0 {
		t.Fatalf("no threads: %v", err)
	}
	return slices.ContainsFunc(threads, func(path string) bool {
		id, err := os.Readlink(path)
		return err == nil && slices.Contains(identities, id)
	})
}

// peopled makes a lab with a process in it, to be taken down.
func peopled(t *testing.T) (identities []string) {
	t.Helper()
	lab := New(t)
	for _, kind := range []Kind{Open, CarrierGrade} {
		if err := lab.Behind("host", kind).Start(exec.Command("sleep", "600")); err != nil {
			t.Fatal(err)
		}
	}

	for _, n := range lab.namespaces() {
		identities = append(identities, n.identity(t))
	}
	return identities
}

// When a test ends nothing is left, including processes.
func TestNothingIsLeft(t *testing.T) {
	t.Parallel()
	var identities []string
	whole := t
	t.Run("lab", func(t *testing.T) {
		identities = peopled(t)
		held(whole, identities)
	})
	eventually(t, "nothing of the lab is left", func() bool { return !inUse(t, identities) })
}

// When the test process panics or is killed, nothing is left either. This test runs itself again, as that process.
func TestNothingIsLeftOfTheDead(t *testing.T) {
	const variable = "NATLAB_DEATH"
	if death := os.Getenv(variable); death != "" {
		fmt.Println("lab", strings.Join(peopled(t), " "))
		_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
		if death == "panic" {
			panic("as asked")
		}
		t.Fatal("not killed")
	}

	t.Parallel()
	for _, death := range []string{"panic", "kill"} {
		t.Run(death, func(t *testing.T) {
			Need(t)
			cmd := exec.Command(os.Args[0], "-test.run", "^TestNothingIsLeftOfTheDead$")
			// The dead remove no files either: this test does.
			cmd.Env = append(os.Environ(), variable+"="+death, "TMPDIR="+t.TempDir())
			stdin, err1 := cmd.StdinPipe()
			stdout, err2 := cmd.StdoutPipe()
			if err1 != nil || err2 != nil || StartOutside(t.Cleanup, cmd) != nil {
				t.Fatal(err1, err2)
			}

			line, err := bufio.NewReader(stdout).ReadString('\n')
			identities := strings.Fields(line)
			if err != nil || len(identities) < 6 {
				t.Fatalf("no lab: %q, %v", line, err)
			}
			held(t, identities[1:])
			if death == "kill" {
				err = cmd.Process.Kill()
			} else {
				_, err = fmt.Fprintln(stdin)
			}

			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Wait(); err == nil {
				t.Error("the process ended without an error")
			}
			eventually(t, "nothing of the lab is left", func() bool { return !inUse(t, identities[1:]) })
		})
	}
}

// Nothing leads out of a lab: not to the machine, not to the machine's networks, not to the world.
func TestNothingLeaksOut(t *testing.T) {
	t.Parallel()
	lab := New(t)
	for _, kind := range Kinds() {
		lab.Behind("host", kind)
	}

	outside, err := net.Listen("tcp", ":0") // on every address of the machine
	if err != nil {
		t.Fatal(err)
	}
	defer outside.Close()

	port := uint16(outside.Addr().(*net.TCPAddr).Port)
	targets := []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("1.1.1.1"),
		netip.MustParseAddr("2606:4700::1111"), netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("169.254.169.254")}
	own, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}

	for _, a := range own {
		if p, err := netip.ParsePrefix(a.String()); err == nil && !p.Addr().IsLinkLocalUnicast() {
			targets = append(targets, p.Addr())
		}
	}

	for _, n := range lab.namespaces() {
		for _, a := range targets {
			var c net.Conn
			err := n.do(func() (err error) {
				c, err = (&net.Dialer{Timeout: 100 * time.Millisecond}).Dial("tcp",
					netip.AddrPortFrom(a, port).String())
				return err
			})
			if err == nil {
				c.Close()
				t.Errorf("%s: reached %s", n.name, a)
			}
		}
	}

	for _, a := range targets[1:] {
		if a.IsLoopback() {
			continue
		}
		if out, err := lab.internet.run("", "ip", "route", "get", a.String()); err == nil {
			t.Errorf("the lab's internet routes %s: %s", a, out)
		}
	}

	ours := regexp.MustCompile(`^(lo|lan|wan|(eth|port|line)[0-9]+)$`)
	for _, n := range lab.namespaces() {
		err := n.do(func() error {
			devices, err := net.Interfaces()
			for _, d := range devices {
				if !ours.MatchString(d.Name) {
					t.Errorf("%s has a device %s", n.name, d.Name)
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// Labs that run at the same time have the same addresses and never meet.
func TestLabsDoNotMeet(t *testing.T) {
	t.Parallel()
	labs := []*Lab{New(t), New(t), New(t)}
	var clients, servers []*Host
	for i, lab := range labs {
		servers, clients = append(servers, lab.Public("relay")), append(clients, lab.Behind("viewer", PortRestricted))
		serve(t, servers[i], netip.AddrPortFrom(servers[i].IPv4(), uint16(1000+i)))
	}

	for i, c := range clients {
		for j := range labs {
			to := netip.AddrPortFrom(servers[0].IPv4(), uint16(1000+j))
			if greeting, err := greet(c, to, 10*time.Second); (err == nil && greeting == to.String()) != (i == j) {
				t.Errorf("lab %d called for %d: %q, %v", i, j, greeting, err)
			}
		}
	}
}
