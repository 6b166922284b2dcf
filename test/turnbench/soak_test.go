//go:build linux

package turnbench

import (
	"encoding/binary"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/test/turnload"
)

const (
	soakClients = 400
	soakBurst   = 8
	// soakCrowds is how many crowds of clients come in turn. Each is gone for longer than an allocation lives without a
	// refresh.
	soakCrowds = 16
)

// BenchmarkSoak is make soak-turn. Our server relays at half of its capacity, or at RATE packets a second, for as long
// as SOAK says (default: ten seconds), while crowds of clients come, send, and disappear without a word. The benchmark
// logs what the server holds in between. After ten minutes, the lifetime of an allocation, as many end as begin, and
// nothing may grow any more: at the end it logs the minima of the second and the last quarter.
func BenchmarkSoak(b *testing.B) {
	length := 10 * time.Second
	if text := os.Getenv("SOAK"); text != "" {
		var err error
		if length, err = time.ParseDuration(text); err != nil {
			b.Fatalf("SOAK: %v", err)
		}
	}

	c := divideCores(b)
	build(b)
	pin(b, os.Getpid(), c.load)
	g := loopback(b, c)
	s := g.start(b, brands(b)[0], c.one, 0, soakClients, byUDP)
	defer s.stop()

	s.connect(b, true)
	rate := int(s.saturate(b, small, soakBurst).PerSec / 2)
	own := []int{rate}
	numbers(b, "RATE", &own)
	rate = own[0]
	first := g.first.As4()
	at := netip.AddrPortFrom(g.server.Addr, 3478)
	b.Logf("%s packets/s", thousands(rate))
	b.Logf("| minute | sent | lost | resident | heap | goroutines | descriptors |")
	turn := max(length/30, 2*time.Second)
	var held []state
	begun := time.Now()

	for n := 1; time.Since(begun) < length; n++ {
		s.load.Close()
		start := first
		binary.BigEndian.PutUint32(start[:], binary.BigEndian.Uint32(first[:])+uint32(n%soakCrowds)*soakClients)
		err := g.load.Do(func() (err error) {
			s.load, err = turnload.Open(turnload.Config{Server: at, Clients: soakClients, First: netip.AddrFrom4(start),
				Credentials: func(client int) (string, string) {
					return s.shown(n*soakClients + client)
				}})
			return err
		})
		if err != nil {
			b.Fatal(err)
		}

		s.connect(b, true)
		var sent, delivered int
		for end := time.Now().Add(turn); time.Now().Before(end); {
			traffic, _, err := s.load.SendAtRate(soakBurst, rate, min(turn, 5*time.Second))
			if err != nil || traffic.Astray > 0 || traffic.Delivered == 0 {
				b.Fatalf("%+v, %v", traffic, err)
			}
			sent, delivered = sent+traffic.Sent, delivered+traffic.Delivered
		}

		now := s.state(b)
		held = append(held, now)
		b.Logf("| %.1f | %s | %s | %s KiB | %s KiB | %d | %d |", time.Since(begun).Minutes(), thousands(sent),
			share(1-float64(delivered)/float64(sent)),
			thousands(now.resident>>10), thousands(now.heap>>10), now.goroutines, now.files)
	}

	quarter := len(held) / 4
	if quarter > 0 {
		second, last := minima(held[quarter:2*quarter]), minima(held[len(held)-quarter:])
		b.Logf("second quarter to last: resident %d to %d KiB, heap %d to %d KiB, goroutines %d to %d, "+
			"descriptors %d to %d",
			second.resident>>10, last.resident>>10, second.heap>>10, last.heap>>10, second.goroutines, last.goroutines,
			second.files, last.files)
	}
}

// minima returns the lowest of each figure.
func minima(of []state) state {
	low := of[0]
	for _, x := range of[1:] {
		low.resident = min(low.resident, x.resident)
		low.heap = min(low.heap, x.heap)
		low.files = min(low.files, x.files)
		low.goroutines = min(low.goroutines, x.goroutines)
	}
	return low
}
