package turn

import (
	"fmt"
	"testing"
	"time"
)

// BenchmarkRelay measures packets of 1,200 bytes from one client to another over loopback, both ends relayed, by
// ChannelData. A window of packets is under way at a time, so that none is lost. The rate is that of the server and
// both clients together.
func BenchmarkRelay(b *testing.B) {
	for _, over := range [][2]string{{"udp", "udp"}, {"tcp", "udp"}, {"tcp", "tcp"}} {
		b.Run(over[0]+" to "+over[1], func(b *testing.B) {
			s := serve(b, Config{})
			cam, view := pair(b, s, over[0], over[1])
			bindBoth(cam, 0x4000, view, 0x4000)
			p := make([]byte, 1204)
			copy(p, []byte{0x40, 0, 1200 >> 8, 1200 & 0xff})
			const window = 64
			room, done := make(chan struct{}, window), make(chan error, 1)
			go func() { done <- view.drain(b.N, room) }()
			b.SetBytes(1200)
			b.ReportAllocs()
			b.ResetTimer()

			for range b.N {
				select {
				case room <- struct{}{}:
				case err := <-done:
					b.Fatalf("%v; %+v", err, s.Stats())
				}
				if _, err := cam.conn.Write(p); err != nil {
					b.Fatal(err)
				}
			}

			if err := <-done; err != nil {
				b.Fatalf("%v; %+v", err, s.Stats())
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "packets/s")
		})
	}
}

// drain reads n packets, and receives once from room for each.
func (c *client) drain(n int, room <-chan struct{}) error {
	p := make([]byte, 64*1024)
	left, size := n*1204, len(p)
	if c.in == nil {
		size = 2048 // a datagram at a time
	}

	taken := 0
	for left > 0 {
		if err := c.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
			return err
		}
		got, err := c.conn.Read(p[:size])
		if err != nil {
			return fmt.Errorf("%d packets missing: %w", (left+1203)/1204, err)
		}

		for left -= got; taken < n-(left+1203)/1204; taken++ {
			<-room
		}
	}

	return nil
}

// BenchmarkGate measures how long a packet takes from one allocation to another, without sockets.
func BenchmarkGate(b *testing.B) {
	var n counters
	r := newRelay(Config{}.withDefaults(), &n)
	cam, view := bound(b, r, 1, camera), bound(b, r, 1, viewer)
	cam.addChannel(view.host, 0x4000)
	view.addChannel(cam.host, 0x4001)
	p := make([]byte, 1204)
	b.SetBytes(1200)
	b.ReportAllocs()
	var out kept

	for b.Loop() {
		copy(p, []byte{0x40, 0, 1200 >> 8, 1200 & 0xff})
		if !r.forward(cam, p, &out) || len(out.packets) != 1 {
			b.Fatal("not relayed")
		}
		out.packets = out.packets[:0]
	}
}
