//go:build linux

package turn

import (
	"net"
	"net/netip"
	"slices"
	"testing"

	"github.com/peephole-cam/peephole/test/natlab"
)

// TestNoWayOutOnTheWire watches everything that leaves a server's machine while a client with good credentials tries
// every peer that it must not reach, by permission, channel, indication and ChannelData, over UDP and over TCP. Packets
// leave only for clients, and what one end sends to the other arrives.
func TestNoWayOutOnTheWire(t *testing.T) {
	natlab.Need(t)
	lab := natlab.New(t)
	relay, bystander := lab.Public("relay"), lab.Public("bystander")
	home, person := lab.Behind("camera", natlab.PortRestricted), lab.Behind("viewer", natlab.PortRestricted)

	for _, over := range []string{"udp", "tcp"} {
		t.Run(over, func(t *testing.T) {
			var s *Server
			at := net.JoinHostPort(relay.IPv4().String(), "0")
			if err := relay.Do(func() (err error) {
				s, err = New(Config{Address: at, BindingAddress: at, Keys: newKeys(t), Streams: listenStreams(t, at)})
				return err
			}); err != nil {
				t.Fatal(err)
			}

			run(t, s)
			dial := func(from *natlab.Host, cred Credential) *client {
				to := map[string]netip.AddrPort{"udp": s.Addresses().UDP, "tcp": tcpOf(s)}[over]
				conn, err := from.Dial(net.Dialer{}, over, to.String())
				if err != nil {
					t.Fatal(err)
				}
				return speak(t, conn, cred)
			}

			wire, there := relay.Record(), bystander.Record()
			g := grant(t, s.config.Keys)
			cam, view := dial(home, g.Camera), dial(person, g.Viewer)
			stranger := dial(bystander, grant(t, s.config.Keys).Camera)
			for _, c := range []*client{cam, view, stranger} {
				if code := c.allocate(); code != 0 {
					t.Fatal(code)
				}
			}

			heard := len(there.Packets())

			peers := forbidden(sink(t))
			for name, ip := range map[string]netip.Addr{
				"a bystander":              bystander.IPv4(),
				"the camera's router":      home.Network().Outside(),
				"the camera's own address": home.IPv4(),
				"the relay's machine":      relay.IPv4(),
				"the viewer's router":      person.Network().Outside(),
			} {
				peers[name] = netip.AddrPortFrom(ip, 3478)
			}

			peers["the relay's own ports"] = tcpOf(s)
			peers["the relay's other port"] = s.Addresses().Binding
			peers["another session"] = stranger.relayed.AddrPort()
			cam.tryOut(t, peers)
			permitBoth(cam, view)

			cam.send(peerAt(view.relayed), "to the other end")
			if got := view.receive(); got.data != "to the other end" {
				t.Errorf("the viewer got %q", got.data)
			}

			leavesOnlyFor(t, wire, home.Network().Outside(), person.Network().Outside(), bystander.IPv4())
			for _, p := range there.Packets()[heard:] {
				// The kernel's own packets, such as multicast reports, do not count.
				if !p.Out && (p.Protocol == natlab.UDP || p.Protocol == natlab.TCP && len(p.Data) > 60) {
					t.Errorf("the bystander got %d bytes from %v", len(p.Data), p.Src)
				}
			}
		})
	}
}

// leavesOnlyFor fails the test unless packets left for each of the clients, and for nobody else.
func leavesOnlyFor(t *testing.T, wire *natlab.Recording, clients ...netip.Addr) {
	t.Helper()
	packets := make(map[netip.Addr]int)
	for _, p := range wire.Packets() {
		if !p.Out || p.Protocol != natlab.UDP && p.Protocol != natlab.TCP {
			continue
		}
		if !slices.Contains(clients, p.Dst.Addr()) {
			t.Errorf("a packet left for %v", p.Dst)
		}
		packets[p.Dst.Addr()]++
	}

	for _, a := range clients {
		if packets[a] == 0 {
			t.Errorf("nothing left for the client at %v, so the recording shows nothing", a)
		}
	}
}

// TestWireWatchSees: the same recording shows a packet that does leave for a bystander.
func TestWireWatchSees(t *testing.T) {
	natlab.Need(t)
	lab := natlab.New(t)
	relay, bystander := lab.Public("relay"), lab.Public("bystander")
	wire := relay.Record()
	var d net.Dialer
	conn, err := relay.Dial(d, "udp", net.JoinHostPort(bystander.IPv4().String(), "9"))
	if err != nil {
		t.Fatal(err)
	}

	defer conn.Close()
	if _, err := conn.Write([]byte("out")); err != nil {
		t.Fatal(err)
	}
	for _, p := range wire.Packets() {
		if p.Out && p.Dst.Addr() == bystander.IPv4() && p.Protocol == natlab.UDP {
			return
		}
	}
	t.Error("the recording does not show it")
}
