package turn

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/pion/stun/v3"
	"golang.org/x/sys/unix"
)

// sendJoined hands the kernel many datagrams at once. Over loopback they arrive as they were sent: joined.
func (c *client) sendJoined(p []byte, size int) {
	c.t.Helper()
	var control control
	n := control.appendSegmentSize(0, size)
	if _, _, err := c.conn.(*net.UDPConn).WriteMsgUDP(p, control[:n], nil); err != nil {
		c.t.Fatal(err)
	}
}

// TestJoinedDatagramsAreRelayedOneByOne: datagrams that arrive joined, at odd sizes and with a shorter last one, are
// handled one by one: packets, requests and noise.
func TestJoinedDatagramsAreRelayedOneByOne(t *testing.T) {
	for _, name := range []string{"all", "no GRO", "no GSO", "mmsg only"} {
		for _, over := range []string{"udp", "tcp"} {
			t.Run(name+" to "+over, func(t *testing.T) {
				s := serve(t, Config{sockets: kinds[name]})
				cam, view := pair(t, s, "udp", over)
				bindBoth(cam, 0x4000, view, 0x4001)
				for _, size := range []int{5, 7, 61, 997, 1204, 1599} {
					for _, last := range []int{size, size - 1, 4} {
						const whole = 20
						var p []byte
						for i := range whole + 1 {
							n := size
							if i == whole {
								n = last
							}
							data := n - 4 - i%min(4, n-3) // padding over UDP is not asked for, and allowed
							p = binary.BigEndian.AppendUint16(p, 0x4000)
							p = binary.BigEndian.AppendUint16(p, uint16(data))
							p = append(p, strings.Repeat(string(rune('a'+i)), n-4)...)
						}

						cam.sendJoined(p, size)
						for i := range whole + 1 {
							n := size
							if i == whole {
								n = last
							}
							want := strings.Repeat(string(rune('a'+i)), n-4-i%min(4, n-3))
							if got := view.receive(); got.data != want || got.channel != 0x4001 {
								t.Fatalf("size %d, datagram %d: %d bytes %.10q, want %d %.10q", size, i, len(got.data),
									got.data, len(want), want)
							}
						}
					}
				}

				binding := message(0x0001, "")
				bad := append([]byte{0xff}, make([]byte, len(binding)-1)...)
				cam.sendJoined(append(append(append([]byte{}, bad...), binding...), binding...), len(binding))
				cam.next()
				cam.next()
				if n := s.Stats().Drops["malformed"]; n != 1 {
					t.Errorf("%d malformed", n)
				}
			})
		}
	}
}

// TestWildcardAnswersFromTheAddressAsked: a server on all addresses answers a client from the one that it uses, and
// relays from it.
func TestWildcardAnswersFromTheAddressAsked(t *testing.T) {
	s := serve(t, Config{Address: "0.0.0.0:0"})
	port := s.Addresses().UDP.Port()
	g := grant(t, s.config.Keys)
	at := func(cred Credential, ip string) *client {
		conn, err := net.Dial("udp", net.JoinHostPort(ip, fmt.Sprint(port))) // connected: it hears that address alone
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		c := &client{t: t, conn: conn, cred: cred, realm: "peephole"}
		if code := c.allocate(); code != 0 {
			t.Fatal(code)
		}
		return c
	}

	view := at(g.Viewer, "127.0.0.3")
	for i, ip := range []string{"127.0.0.1", "127.0.0.2", "127.1.2.3", "::1"} {
		cam := at(g.Camera, ip)
		channel := uint16(0x4000 + i)
		bindBoth(cam, 0x4000, view, channel)
		for range 3 { // several go as one
			cam.sendChannel(0x4000, ip)
			view.sendChannel(channel, ip)
		}

		for range 3 {
			if got := view.receive(); got != (received{channel: channel, data: ip}) {
				t.Errorf("viewer got %+v", got)
			}
			if got := cam.receive(); got != (received{channel: 0x4000, data: ip}) {
				t.Errorf("camera got %+v", got)
			}
		}
	}
}

// batchTo returns a batch with its own sockets, and bindings of clients to send to.
func batchTo(t *testing.T, to ...netip.AddrPort) (*batch, []*binding) {
	t.Helper()
	first, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	c := Config{}.withDefaults()
	s, err := openBatchSocket(first, &c, new(counters))
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(s.free)
	var clients []*binding
	for i, at := range to {
		clients = append(clients, &binding{to: at, host: uint32(i + 1)})
	}

	return s.newOutlet().(*batch), clients
}

func TestRefusedClientCostsOthersNothing(t *testing.T) {
	good := sink(t)
	at := good.LocalAddr().(*net.UDPAddr).AddrPort()
	nowhere := netip.MustParseAddrPort("127.0.0.1:0") // EINVAL
	b, to := batchTo(t, nowhere, at, nowhere, at)
	for i := range 12 {
		b.send(to[i%4], packet{body: []byte{byte(i), 1, 2, 3}, payload: 4})
	}

	b.flush()
	n := b.socket.counters.snapshot()
	if n.Packets != 6 || n.Bytes != 24 || n.Drops["send"] != 6 {
		t.Errorf("%+v", n)
	}

	good.SetReadDeadline(time.Now().Add(patience))
	p := make([]byte, 100)
	for _, want := range []byte{1, 5, 9, 3, 7, 11} {
		if n, err := good.Read(p); n != 4 || p[0] != want {
			t.Errorf("got %x, %v, want %d", p[:n], err, want)
		}
	}
}

// TestRefusedSegmentsGoOneByOne: if the kernel refuses a group of segments, each goes by itself, unchanged. If the
// device is the reason, no more groups are tried.
func TestRefusedSegmentsGoOneByOne(t *testing.T) {
	for _, e := range []unix.Errno{unix.EIO, unix.EINVAL, unix.EMSGSIZE} {
		good := sink(t)
		b, to := batchTo(t, good.LocalAddr().(*net.UDPAddr).AddrPort())
		head := []byte("head")
		send := func() {
			for i, size := range []int{10, 10, 10, 7} {
				b.send(to[0], packet{
					head:    head,
					body:    []byte(strings.Repeat(string(rune('a'+i)), size-1)),
					pad:     1,
					payload: 5,
				})
			}
		}

		send()
		if b.used != 1 {
			t.Fatalf("%d groups", b.used)
		}
		b.handleRefusal(&b.groups[0], e)
		b.used, b.last = 0, [256]uint8{}
		if again := b.socket.segmented.Load(); again == (e == unix.EIO) {
			t.Errorf("after %v it still sends segments: %v", e, again)
		}

		send()
		b.flush()
		good.SetReadDeadline(time.Now().Add(patience))
		p := make([]byte, 100)
		for i := range 8 {
			n, err := good.Read(p)
			want := "head" + strings.Repeat(string(rune('a'+i%4)), []int{9, 9, 9, 6}[i%4]) + "\x00"
			if string(p[:n]) != want {
				t.Errorf("after %v: got %q, %v, want %q", e, p[:n], err, want)
			}
		}

		if n := b.socket.counters.snapshot(); n.Packets != 8 || n.Bytes != 40 || n.Drops["send"] != 0 {
			t.Errorf("after %v: %+v", e, n)
		}
	}
}

// TestFullBatchLosesNothing: a batch with no room left is sent, and nothing in it is overwritten before.
func TestFullBatchLosesNothing(t *testing.T) {
	good := sink(t)
	at := good.LocalAddr().(*net.UDPAddr).AddrPort()
	for name, row := range map[string]struct{ clients, packets int }{
		"of clients":         {3 * maxGroups / 2, 3 * maxGroups / 2},
		"of heads":           {8, maxHeads + 50},
		"of segments":        {1, maxGroupSegments + 20},
		"of clients in turn": {maxGroups + 1, 3*maxGroups + 7},
	} {
		t.Run(name, func(t *testing.T) {
			if err := good.SetReadBuffer(1 << 20); err != nil {
				t.Fatal(err)
			}
			var all []netip.AddrPort
			for range row.clients {
				all = append(all, at)
			}

			b, to := batchTo(t, all...)
			for i := range row.packets {
				head := b.head()
				writeData(head, uint32(i), 4)
				b.send(to[i%len(to)], packet{
					head:    head[:],
					body:    binary.BigEndian.AppendUint32(nil, uint32(i)),
					payload: 4,
				})
			}

			b.flush()
			good.SetReadDeadline(time.Now().Add(patience))
			seen, p := make(map[uint32]bool), make([]byte, 100)
			for range row.packets {
				n, err := good.Read(p)
				if err != nil || n != dataHeader+4 {
					t.Fatalf("%d bytes, %v, after %d packets", n, err, len(seen))
				}
				var from stun.XORMappedAddress
				m := stun.Message{Raw: p[:n]}
				if err := m.Decode(); err != nil {
					t.Fatal(err)
				}
				if err := from.GetFromAs(&m, stun.AttrXORPeerAddress); err != nil {
					t.Fatal(err)
				}

				i := binary.BigEndian.Uint32(p[dataHeader:])
				if seen[i] = true; !from.IP.Equal(addressOf(i).Addr().AsSlice()) {
					t.Errorf("packet %d has the head of %v", i, from)
				}
			}

			if len(seen) != row.packets {
				t.Errorf("%d packets arrived, want %d", len(seen), row.packets)
			}
		})
	}
}

// TestPortIsNotShared: our own sockets share their port, but nobody else's socket shares it.
func TestPortIsNotShared(t *testing.T) {
	s := serve(t, Config{sockets: socketKind{workers: 3}})
	if got := len(s.sockets.(*batchSocket).fds); got != 3 {
		t.Errorf("%d sockets", got)
	}
	if c, err := net.ListenPacket("udp", s.Addresses().UDP.String()); err == nil {
		c.Close()
		t.Error("another socket could bind the port")
	}

	other := sink(t)
	if c, err := New(Config{Address: other.LocalAddr().String(), Keys: newKeys(t)}); err == nil {
		c.Close()
		t.Error("the server bound the port of another socket")
	}
}

// TestRelayedPacketLeavesNoGarbage: relaying a packet allocates nothing on the heap.
func TestRelayedPacketLeavesNoGarbage(t *testing.T) {
	good := sink(t)
	b, _ := batchTo(t)
	var n counters
	r := newRelay(Config{}.withDefaults(), &n)
	cam, view := bound(t, r, 1, camera), bound(t, r, 1, viewer)
	cam.addChannel(view.host, 0x4000)
	view.setPermission(cam.host, true)
	target := *view.bound.Load()
	target.to = good.LocalAddr().(*net.UDPAddr).AddrPort()
	view.bound.Store(&target)
	w := newWorker(b.socket, b.fd, ingress{relay: r, out: b})
	p := w.arena[:10*1204]
	for i := range 10 {
		copy(p[i*1204:], []byte{0x40, 0, 1200 >> 8, 1200 & 0xff})
	}

	length := w.names[0].set(cam.bound.Load().client(), unix.AF_INET6)
	w.messages[0].n, w.messages[0].Namelen = uint32(len(p)), uint32(length)
	w.messages[0].SetControllen(w.controls[0].appendMessage(0, unix.SOL_UDP, unix.UDP_GRO,
		binary.NativeEndian.AppendUint32(nil, 1204)))
	if allocs := testing.AllocsPerRun(100, func() {
		w.handleMessage(0)
		b.flush()
	}); allocs != 0 {
		t.Errorf("%v heap objects for 10 packets", allocs)
	}

	if got := b.socket.counters.packets.Load(); got == 0 || got%10 != 0 {
		t.Errorf("%d packets were relayed", got)
	}
}
