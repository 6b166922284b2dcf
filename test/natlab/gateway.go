//go:build linux

package natlab

import (
	"bufio"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Control is a way for hosts to have their router open ports.
type Control string

// The ways that miniupnpd supports. It speaks both PCP and NAT-PMP on one port, or neither.
const (
	UPnP Control = "upnp"
	PCP  Control = "pcp"
)

// OpenPorts makes the hosts' router open ports on request, like many home routers: miniupnpd, with the kernel's
// translation. It returns the outside address that the router then reports, besides its own. That address is from
// 11.0.0.0/24, since miniupnpd opens nothing for the addresses of documentation.
func (n *Network) OpenPorts(ways ...Control) netip.Addr {
	n.lab.t.Helper()
	if !found("miniupnpd") {
		missing(n.lab.t, "miniupnpd: run make deps")
	}
	if n.Kind.masq == "" || n.Kind.carrier {
		n.lab.t.Fatalf("natlab: a router of kind %q opens no ports", n.Kind.Name)
	}

	outside := netip.AddrFrom4([4]byte{11, 0, 0, byte(n.number)})
	n.lab.must(n.router.ip(fmt.Sprintf("addr add %s/32 dev wan", outside)))
	n.lab.must(n.lab.internet.ip(fmt.Sprintf("route add %s/32 dev line%d", outside, n.number)))
	n.lab.must(n.router.nft(`
add rule inet firewall forward ct status dnat accept
table inet ports {
	chain forward { type filter hook forward priority filter; }
	chain prerouting { type nat hook prerouting priority dstnat; }
	chain postrouting { type nat hook postrouting priority srcnat; }
}
`))

	settings := filepath.Join(n.lab.dir, fmt.Sprintf("miniupnpd-%d.conf", n.number))
	n.lab.must(os.WriteFile(settings, []byte(portSettings(outside, ways)), 0o600))
	// In the foreground it logs everything that it does to standard error.
	cmd := exec.Command("miniupnpd", "-d", "-f", settings, "-P", settings+".pid")
	said, err := cmd.StderrPipe()
	n.lab.must(err)
	n.lab.must(n.router.start(cmd))
	read := make(chan struct{})
	n.lab.ending = append(n.lab.ending, func() {
		_ = cmd.Process.Kill()
		<-read
		_ = cmd.Wait()
	})

	err = awaitLine(said, "miniupnpd", len(ways))
	go func() { // so that it never blocks, until it ends
		defer close(read)
		_, _ = io.Copy(io.Discard, said)
	}()
	n.lab.must(err)
	return outside
}

// OpenedPorts counts the ports that the router holds open now.
func (n *Network) OpenedPorts() int {
	n.lab.t.Helper()
	rules, err := n.router.run("", "nft", "list", "chain", "inet", "ports", "prerouting")
	n.lab.must(err)
	return strings.Count(rules, "dnat ")
}

func portSettings(outside netip.Addr, ways []Control) string {
	lines := []string{
		"ext_ifname=wan", "ext_ip=" + outside.String(), "listening_ip=lan", "port=0", "secure_mode=yes",
		"min_lifetime=1", "system_uptime=yes",
		"uuid=4f2a5a1e-96a1-4b38-a6a5-0c7b3a8f0001", "upnp_table_name=ports", "upnp_nat_table_name=ports",
		"upnp_forward_chain=forward", "upnp_nat_chain=prerouting", "upnp_nat_postrouting_chain=postrouting",
	}

	on := map[Control]string{UPnP: "no", PCP: "no"}
	for _, w := range ways {
		on[w] = "yes"
	}
	lines = append(lines, "enable_upnp="+on[UPnP], "enable_natpmp="+on[PCP],
		"allow 1024-65535 192.168.1.0/24 1024-65535", "deny 0-65535 0.0.0.0/0 0-65535")
	return strings.Join(lines, "\n") + "\n"
}

// awaitLine reads until a program listens n times.
func awaitLine(r io.Reader, program string, n int) error {
	lines := bufio.NewScanner(r)
	var all []string
	for n > 0 && lines.Scan() {
		all = append(all, lines.Text())
		if strings.Contains(strings.ToLower(lines.Text()), "listening ") {
			n--
		}
	}

	if n > 0 {
		return fmt.Errorf("%s ended: %s", program, strings.Join(all, "; "))
	}
	return nil
}
