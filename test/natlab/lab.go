//go:build linux

package natlab

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// The main thread ends with the process and not before: a goroutine that exits while locked to it leaves it parked, in
// whatever namespace it is. So it stays with the main goroutine, and no lab can get hold of it.
func init() { runtime.LockOSThread() }

// A Lab is one small internet. Its methods end the test if they fail.
type Lab struct {
	t        testing.TB
	dir      string // of the files that replace the hosts' /etc/hosts and /etc/resolv.conf
	internet *namespace
	networks []*Network
	hosts    []*Host
	captures []*capture
	ending   []func() // end what was started beside, before everything else
}

// New makes an empty internet, which disappears when the test ends.
func New(t testing.TB) *Lab {
	t.Helper()
	Need(t)
	l := &Lab{t: t, dir: t.TempDir()}
	t.Cleanup(l.close)
	n, err := newNamespace("internet", nil)
	l.must(err)
	l.internet = n
	l.must(n.sysctl("net/ipv4/conf/all/forwarding", "1"))
	l.must(n.sysctl("net/ipv6/conf/all/forwarding", "1"))

	// The addresses that its errors (ICMP) come from, and no route for all others.
	l.must(n.ip("addr add 192.0.2.1/32 dev lo", "addr add 2001:db8::1/128 dev lo", "route add unreachable 0.0.0.0/0",
		"route add unreachable ::/0"))
	return l
}

func (l *Lab) must(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatalf("natlab: %v", err)
	}
}

// close takes everything down, hosts first. It kills the hosts' processes.
func (l *Lab) close() {
	for _, end := range l.ending {
		end()
	}
	for _, c := range l.captures {
		c.close()
	}

	for _, h := range l.hosts {
		h.ns.close()
	}
	for _, n := range l.networks {
		if n.link != nil {
			n.link.close()
		}
		for _, r := range n.routers {
			r.close()
		}
	}

	if l.internet != nil {
		l.internet.close()
	}
}

// Network makes a network of a kind, without hosts.
func (l *Lab) Network(kind Kind) *Network {
	l.t.Helper()
	n := &Network{lab: l, Kind: kind, number: len(l.networks) + 1}
	if n.number > 250 {
		l.t.Fatal("natlab: no addresses for more than 250 networks")
	}
	l.networks = append(l.networks, n)
	l.must(n.build())

	return n
}

// Host makes a host in the network.
func (n *Network) Host(name string) *Host {
	n.lab.t.Helper()
	return n.lab.host(name, n)
}

// Behind makes a host in a network of its own.
func (l *Lab) Behind(name string, kind Kind) *Host {
	l.t.Helper()
	return l.Network(kind).Host(name)
}

// Public makes a host with public addresses and nothing in the way. All hosts of the lab know it by NAME.lab.
func (l *Lab) Public(name string) *Host {
	l.t.Helper()
	return l.Behind(name, Open)
}

func (l *Lab) host(name string, in *Network) *Host {
	l.t.Helper()
	h := &Host{Name: name, lab: l, number: len(l.hosts) + 2}
	if h.number > 250 {
		l.t.Fatal("natlab: no addresses for more than 250 hosts")
	}
	names := filepath.Join(l.dir, fmt.Sprintf("hosts-%d", h.number))
	nobody := filepath.Join(l.dir, "resolv.conf")
	l.must(os.WriteFile(names, nil, 0o644))
	l.must(os.WriteFile(nobody, []byte("nameserver 127.0.0.1\noptions attempts:1 timeout:1\n"), 0o644))
	var err error
	h.ns, err = newNamespace(name, map[string]string{"/etc/hosts": names, "/etc/resolv.conf": nobody})
	l.must(err)
	l.hosts = append(l.hosts, h)
	l.must(h.attach(in))
	l.must(h.announce("add", h.IPv4()))
	l.writeNames()

	return h
}

// synthesized returns an IPv4 address as a DNS64 would give it to the host, or the zero Addr if the host has none.
func (h *Host) synthesized(a netip.Addr) netip.Addr {
	if h.network == nil || h.network.Reach(a) == a {
		return netip.Addr{}
	}
	return h.network.Reach(a)
}

// writeNames writes, for every host, the names of those that can be reached from anywhere.
func (l *Lab) writeNames() {
	l.t.Helper()
	for _, reader := range l.hosts {
		text := strings.Builder{}
		text.WriteString("127.0.0.1 localhost\n::1 localhost\n")
		// by which a DNS64 reveals its prefix (RFC 7050)
		if a := reader.synthesized(netip.AddrFrom4([4]byte{192, 0, 0, 170})); a.IsValid() {
			fmt.Fprintf(&text, "%s ipv4only.arpa\n", a)
		}

		for _, h := range l.hosts {
			if h.network == nil || !h.network.Kind.open {
				continue
			}
			fmt.Fprintf(&text, "%s %s.lab\n", h.IPv4(), h.Name)
			if a := h.IPv6(); a.IsValid() {
				fmt.Fprintf(&text, "%s %s.lab\n", a, h.Name)
			} else if a := reader.synthesized(h.IPv4()); a.IsValid() { // DNS64 (RFC 6147)
				fmt.Fprintf(&text, "%s %s.lab\n", a, h.Name)
			}
		}
		l.must(os.WriteFile(filepath.Join(l.dir, fmt.Sprintf("hosts-%d", reader.number)), []byte(text.String()), 0o644))
	}
}
