//go:build linux

package turnbench

import (
	"context"
	"crypto/rand"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/test/turnload"
	"github.com/peephole-cam/peephole/turn"
)

// crowd is how many allocations one process should hold.
const crowd = 200000

// TestProcessHolds200000Allocations: each is made by a request of its own client, over a real socket. No two share a
// relayed address, the last two clients reach each other while all are there, and all end with the server.
func TestProcessHolds200000Allocations(t *testing.T) {
	secret := make([]byte, turn.MinSecret)
	rand.Read(secret)
	keys, err := turn.NewKeys(secret, nil)
	if err != nil {
		t.Fatal(err)
	}

	s, err := turn.New(turn.Config{Address: "127.0.0.1:0", Keys: keys, MaxAllocations: crowd})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- s.Run(ctx) }()

	end := func() {
		stop()
		if err := <-ran; err != nil {
			t.Error(err)
		}
		ran <- nil
	}
	defer end()

	open := func(first string, clients int) *turnload.Load {
		l, err := turnload.Open(turnload.Config{
			Server: s.Addresses().UDP, Clients: clients, First: netip.MustParseAddr(first),
			Credentials: granted(keys),
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(l.Close)

		if err := l.Allocate(); err != nil {
			t.Fatal(err)
		}
		return l
	}

	begun := time.Now()
	rest := open("127.64.0.0", crowd-2)
	t.Logf("%d allocations, %.0f a second of this process' two ends", crowd-2, (crowd-2)/time.Since(begun).Seconds())
	last := open("127.128.0.0", 2)
	block := netip.MustParsePrefix("198.18.0.0/15")
	seen := make(map[netip.AddrPort]bool, crowd)

	for _, l := range []*turnload.Load{rest, last} {
		for at := range l.Relayed() {
			if seen[at] || !block.Contains(at.Addr()) {
				t.Fatalf("%v twice, or outside its block", at)
			}
			seen[at] = true
		}
	}

	if n := s.Stats(); n.Allocations != crowd || n.Sessions != crowd/2 || len(seen) != crowd {
		t.Errorf("%d allocations of %d sessions at %d addresses", n.Allocations, n.Sessions, len(seen))
	}
	if err := last.BindChannels(); err != nil {
		t.Fatal(err)
	}

	traffic, _, err := last.SendAtRate(1, 100, 200*time.Millisecond)
	if err != nil || traffic.Delivered == 0 || traffic.Astray != 0 {
		t.Errorf("%+v, %v", traffic, err)
	}
	end()
	if n := s.Stats(); n.Allocations != 0 || n.Sessions != 0 || n.AllocationsTotal != crowd {
		t.Errorf("left behind: %+v", n)
	}
}

// BenchmarkCapacity measures what allocations cost a server in its own process. ALLOCATIONS lists how many to make; the
// default is 10,000 and 200,000.
func BenchmarkCapacity(b *testing.B) {
	counts := []int{10000, crowd}
	numbers(b, "ALLOCATIONS", &counts)
	c := divideCores(b)
	build(b)
	pin(b, os.Getpid(), c.load)
	g := loopback(b, c)
	b.Logf("| allocations | per second of processor time | resident bytes of each | heap bytes of each |")

	for _, n := range counts {
		large := brand{name: "ours", ours: true, heap: true,
			command: func(t testing.TB, at place, cores int) (*exec.Cmd, credentials) {
				cmd, shown := ours(t, at, cores)
				cmd.Args = slices.Insert(cmd.Args, 1, "-allocations", strconv.Itoa(n))
				return cmd, shown
			}}

		s := g.start(b, large, c.one, 0, n, byUDP)
		x := s.idle(b, n)
		b.Logf("| %s | %s | %s | %s |", thousands(n), thousands(int(x.PerCPU)), thousands(int(x.Resident)),
			thousands(int(x.Heap)))
		s.stop()
	}
}
