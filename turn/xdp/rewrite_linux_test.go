package xdp

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"
)

const (
	pass = 2 // linux/bpf.h, enum xdp_action
	tx   = 3
)

// frame returns an Ethernet frame with data in UDP, and correct checksums.
func frame(src, dst netip.AddrPort, data []byte) []byte {
	udp := make([]byte, 8, 8+len(data))
	binary.BigEndian.PutUint16(udp, src.Port())
	binary.BigEndian.PutUint16(udp[2:], dst.Port())
	binary.BigEndian.PutUint16(udp[4:], uint16(8+len(data)))
	udp = append(udp, data...)
	binary.BigEndian.PutUint16(udp[6:], ^sum(append(pseudo(src.Addr(), dst.Addr(), len(udp)), udp...)))
	b := []byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2}
	var ip []byte

	if src.Addr().Is4() {
		ip = []byte{0x45, 0xb8, 0, 0, 0x12, 0x34, 0x40, 0, 9, 17, 0, 0}
		binary.BigEndian.PutUint16(ip[2:], uint16(20+len(udp)))
		ip = append(append(ip, src.Addr().AsSlice()...), dst.Addr().AsSlice()...)
		binary.BigEndian.PutUint16(ip[10:], ^sum(ip))
		b = append(b, 8, 0)
	} else {
		ip = []byte{0x6b, 0x81, 0x23, 0x45, 0, 0, 17, 9}
		binary.BigEndian.PutUint16(ip[4:], uint16(len(udp)))
		ip = append(append(ip, src.Addr().AsSlice()...), dst.Addr().AsSlice()...)
		b = append(b, 0x86, 0xdd)
	}

	return append(append(b, ip...), udp...)
}

func at(host string, port uint16) netip.AddrPort {
	return netip.AddrPortFrom(netip.MustParseAddr(host), port)
}

// pseudo returns the pseudo-header that UDP's checksum covers too (RFC 768; RFC 8200, section 8.1).
func pseudo(src, dst netip.Addr, length int) []byte {
	b := append(src.AsSlice(), dst.AsSlice()...)
	return append(b, 0, 17, byte(length>>8), byte(length))
}

// sum returns the Internet checksum (RFC 1071) before it is complemented.
func sum(b []byte) uint16 {
	if len(b)%2 == 1 {
		b = append(b[:len(b):len(b)], 0)
	}
	var s uint32
	for i := 0; i < len(b); i += 2 {
		s += uint32(binary.BigEndian.Uint16(b[i:]))
	}

	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return uint16(s)
}

// TestRewrittenFrameIsTheServers: the program turns a frame into exactly the one that the server would have sent,
// checksums included, for IPv4 and IPv6, and for many lengths and sums.
func TestRewrittenFrameIsTheServers(t *testing.T) {
	for name, row := range map[string]struct{ a, b, server, via string }{
		"IPv4":                    {"192.0.2.1", "198.51.100.255", "203.0.113.9", "203.0.113.9"},
		"IPv4, two of the server": {"192.0.2.1", "198.51.100.255", "203.0.113.9", "10.255.255.254"},
		"IPv6":                    {"2001:db8::1", "2001:db8:ffff::ffff:2", "2001:db8:5::9", "2001:db8:5::9"},
		"IPv6, two of the server": {"2001:db8::1", "2001:db8:ffff::ffff:2", "2001:db8:5::9", "fd00::8"},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := load(Config{Port: port, Clients: 2}, false)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()

			for _, number := range []uint32{1, 2} {
				if err := f.clients.Put(number, client{MAC: [6]byte{2, 0, 0, 0, 0, 7}, Known: 1}); err != nil {
					t.Fatal(err)
				}
			}

			a, b := at(row.a, 50000), at(row.b, 1)
			server, via := at(row.server, port), at(row.via, port)
			if err := f.SetRoute(Channel{a, 0x4000}, Route{
				Server:   server.Addr(),
				Via:      via.Addr(),
				To:       Channel{b, 0x4fff},
				Sender:   1,
				Receiver: 2,
			}); err != nil {
				t.Fatal(err)
			}

			for size := range 300 {
				data := fmt.Sprintf("%0*x", size, size*size*7919)[:size]
				in, want := frame(a, server, channelData(0x4000, data)), frame(via, b, channelData(0x4fff, data))
				copy(want, []byte{2, 0, 0, 0, 0, 7, 2, 0, 0, 0, 0, 1})
				if a.Addr().Is4() { // type of service, identification and flags stay; the time to live does not
					want[22], want[24], want[25] = 64, 0, 0
					binary.BigEndian.PutUint16(want[24:], ^sum(want[14:34]))
				} else {
					want[21] = 64
				}

				verdict, out, err := f.program.Test(in)
				if err != nil || verdict != tx || !bytes.Equal(out, want) {
					t.Fatalf("%d bytes: verdict %d, %v\n%x, want\n%x", size, verdict, err, out, want)
				}
			}

			in := frame(a, server, channelData(0x4000, "data"))
			for cut := 14; cut < len(in); cut++ {
				verdict, out, err := f.program.Test(in[:cut])
				if err != nil || verdict != pass || !bytes.Equal(out, in[:cut]) {
					t.Errorf("cut to %d bytes: verdict %d, %v", cut, verdict, err)
				}
			}
		})
	}
}

// TestUnusualHeadersArePassedOn: every frame that is out of the ordinary is passed on untouched.
func TestUnusualHeadersArePassedOn(t *testing.T) {
	f, err := load(Config{Port: port, Clients: 2}, false)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()

	for _, number := range []uint32{1, 2} {
		if err := f.clients.Put(number, client{Known: 1}); err != nil {
			t.Fatal(err)
		}
	}

	frames := map[string][]byte{}
	for family, hosts := range map[string][3]string{
		"IPv4": {"192.0.2.1", "192.0.2.2", "192.0.2.3"},
		"IPv6": {"2001:db8::1", "2001:db8::2", "2001:db8::3"},
	} {
		a, b, server := at(hosts[0], 50000), at(hosts[1], 50001), at(hosts[2], port)
		if err := f.SetRoute(Channel{a, 0x4000}, Route{
			Server:   server.Addr(),
			Via:      server.Addr(),
			To:       Channel{b, 0x4001},
			Sender:   1,
			Receiver: 2,
		}); err != nil {
			t.Fatal(err)
		}

		plain := frame(a, server, channelData(0x4000, "data"))
		if verdict, _, err := f.program.Test(plain); err != nil || verdict != tx {
			t.Fatalf("the plain case of %s: verdict %d, %v", family, verdict, err)
		}
		changed := func(name string, change func(b []byte)) {
			b := bytes.Clone(plain)
			change(b)
			frames[family+", "+name] = b
		}

		frames[family+", another port of the server"] = frame(a, at(hosts[2], port+1), channelData(0x4000, "data"))
		frames[family+", another port of the client"] = frame(at(hosts[0], 50002), server, channelData(0x4000, "data"))
		frames[family+", another server"] = frame(a, at(hosts[1], port), channelData(0x4000, "data"))
		changed("another protocol", func(b []byte) { b[map[string]int{"IPv4": 23, "IPv6": 20}[family]] = 6 })
		changed("another EtherType", func(b []byte) { b[12], b[13] = 0x81, 0 })
		if family == "IPv4" {
			changed("options", func(b []byte) { b[14] = 0x46 })
			changed("a first fragment", func(b []byte) { b[20] |= 0x20 })
			changed("a later fragment", func(b []byte) { b[21] = 1 })
			changed("a length beyond the frame's", func(b []byte) { b[17]++ })
			changed("a length short of UDP's", func(b []byte) { b[17]-- })
			changed("hardly a length", func(b []byte) { b[17] = 31 })
		} else {
			changed("no checksum", func(b []byte) { b[60], b[61] = 0, 0 })
			changed("a length short of UDP's", func(b []byte) { b[19]-- })
		}
	}

	for name, in := range frames {
		if verdict, out, err := f.program.Test(in); err != nil || verdict != pass || !bytes.Equal(out, in) {
			t.Errorf("%s: verdict %d, %v", name, verdict, err)
		}
	}
}

// BenchmarkForward measures the program's own time for a packet of 1,200 bytes.
func BenchmarkForward(b *testing.B) {
	f, err := load(Config{Port: port, Clients: 2}, false)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()

	for _, number := range []uint32{1, 2} {
		if err := f.clients.Put(number, client{MAC: [6]byte{2, 0, 0, 0, 0, 1}, Known: 1}); err != nil {
			b.Fatal(err)
		}
	}

	// A route that leads back to its sender: what comes out is what went in.
	server := netip.AddrPortFrom(netip.MustParseAddr("203.0.113.9"), port)
	if err := f.SetRoute(Channel{server, 0x4000}, Route{
		Server:   server.Addr(),
		Via:      server.Addr(),
		To:       Channel{server, 0x4000},
		Sender:   1,
		Receiver: 2,
	}); err != nil {
		b.Fatal(err)
	}

	in := frame(server, server, channelData(0x4000, string(make([]byte, 1200))))
	verdict, took, err := f.program.Benchmark(in, 1_000_000, nil)
	if err != nil || verdict != tx {
		b.Fatalf("verdict %d, %v", verdict, err)
	}
	for b.Loop() {
	}
	b.ReportMetric(float64(took.Nanoseconds()), "ns/packet")
}
