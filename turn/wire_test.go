//go:build linux

package turn

import (
	"net"
	"net/netip"
	"testing"

	"github.com/peephole-cam/peephole/internal/natlab"
)

// TestNoWayOutOnTheWire watches all that leaves a server's machine, while a client with good credentials tries every peer that it must
// not have, by permission, channel, indication and ChannelData, over UDP and over TCP: nothing goes anywhere but to the two clients, and
// what one sends to the other arrives.
func TestNoWayOutOnTheWire(t *testing.T) {
	natlab.Need(t)
	lab := natlab.New(t)
	relay, home, person, bystander := lab.Public("relay"), lab.Behind("camera", natlab.PortRestricted), lab.Behind("viewer", natlab.PortRestricted), lab.Public("bystander")
	for _, over := range []string{"udp", "tcp"} {
		t.Run(over, func(t *testing.T) {
			var s *Server
			at := net.JoinHostPort(relay.IPv4().String(), "0")
			if err := relay.Do(func() (err error) {
				s, err = New(Config{Address: at, BindingAddress: at, Keys: newKeys(t)})
				return err
			}); err != nil {
				t.Fatal(err)
			}
			run(t, s)
			dial := func(from *natlab.Host, cred Credential) *client {
				to := map[string]netip.AddrPort{"udp": s.Addresses().UDP, "tcp": s.Addresses().TCP}[over]
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
				"a bystander": bystander.IPv4(), "the camera's router": home.Network().Outside(), "the camera's own address": home.IPv4(),
				"the relay's machine": relay.IPv4(), "the viewer's router": person.Network().Outside(),
			} {
				peers[name] = netip.AddrPortFrom(ip, 3478)
			}
			peers["the relay's own ports"] = s.Addresses().TCP
			peers["the relay's other port"] = s.Addresses().Binding
			peers["another session"] = stranger.relayed.AddrPort()
			cam.tryOut(t, peers)
			for c, other := range map[*client]*client{cam: view, view: cam} {
				if code := c.permit(peerAt(other.relayed)); code != 0 {
					t.Fatal(code)
				}
			}
			cam.send(peerAt(view.relayed), "to the other end")
			if got := view.receive(); got.data != "to the other end" {
				t.Errorf("the viewer got %q", got.data)
			}

			clients := map[netip.Addr]int{home.Network().Outside(): 0, person.Network().Outside(): 0, bystander.IPv4(): 0}
			for _, p := range wire.Packets() {
				if !p.Out || p.Protocol != natlab.UDP && p.Protocol != natlab.TCP {
					continue
				}
				if _, ok := clients[p.Dst.Addr()]; !ok {
					t.Errorf("a packet left for %v", p.Dst)
				}
				clients[p.Dst.Addr()]++
			}
			for a, n := range clients {
				if n == 0 {
					t.Errorf("nothing left for the client at %v: the watch is blind", a)
				}
			}
			for _, p := range there.Packets()[heard:] {
				if !p.Out && (p.Protocol == natlab.UDP || p.Protocol == natlab.TCP && len(p.Data) > 60) { // not the kernel's own, such as multicast reports
					t.Errorf("the bystander got %d bytes from %v", len(p.Data), p.Src)
				}
			}
		})
	}
}

// TestWireWatchSees: the same watch sees a packet that does leave for a bystander.
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
	t.Error("it was not seen")
}
