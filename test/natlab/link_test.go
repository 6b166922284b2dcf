//go:build linux

package natlab

import (
	"encoding/binary"
	"errors"
	"math"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Each host is at its own distance, and packets to one host do not wait for packets to another.
func TestHostsHaveTheirDistances(t *testing.T) {
	t.Parallel()
	lab := New(t)
	r := newReflector(t, lab, "udp4")
	h := lab.Behind("host", PortRestricted)
	distances := [2]time.Duration{300 * time.Millisecond, 100 * time.Millisecond}
	for i, d := range distances {
		h.Network().Distance(r.hosts[i], d)
	}

	var asking sync.WaitGroup
	for i, d := range distances {
		s := newSocket(t, h, "udp4")
		asking.Go(func() {
			best := time.Hour
			for n := 0; n < 50 && (n < 3 || best >= d+100*time.Millisecond); n++ { // a slow machine gets many chances
				begin := time.Now()
				s.mapped(t, r, i, 0)
				best = min(best, time.Since(begin))
			}
			if best < d || best >= d+100*time.Millisecond {
				t.Errorf("the quickest answer of host %d took %v, want %v", i, best, d)
			}
		})
	}
	asking.Wait()
}

// A line has the delay that was asked for, in both directions together, and it can be changed at any time.
func TestLineHasItsDelay(t *testing.T) {
	t.Parallel()
	lab := New(t)
	r := newReflector(t, lab, "udp4")
	h := lab.Behind("host", PortRestricted)
	s := newSocket(t, h, "udp4")
	for _, tt := range []struct{ up, down, atLeast, below time.Duration }{
		{40 * time.Millisecond, 60 * time.Millisecond, 100 * time.Millisecond, 140 * time.Millisecond},
		{0, 0, 0, 40 * time.Millisecond},
		{0, 80 * time.Millisecond, 80 * time.Millisecond, 120 * time.Millisecond},
	} {
		h.Network().Impair(Quality{Delay: tt.up}, Quality{Delay: tt.down})
		best := time.Hour
		for i := 0; i < 200 && (i < 5 || best >= tt.below); i++ { // a slow machine gets many chances
			begin := time.Now()
			s.mapped(t, r, 0, 0)
			best = min(best, time.Since(begin))
		}

		if best < tt.atLeast || best >= tt.below {
			t.Errorf("up %v, down %v: the quickest answer took %v, want %v to %v", tt.up, tt.down, best, tt.atLeast,
				tt.below)
		}
	}
}

// stream sends numbered packets of size bytes, and returns the numbers that arrived, and the time between the first and
// the last. While it sends, at most inFlight packets are on the line, and as many in the kernel behind it, whose queue
// other tests fill as well.
func stream(t *testing.T, from, to *Host, packets, size, inFlight int) (arrived []int, took time.Duration) {
	t.Helper()
	sender, receiver := listen(t, from, "udp4"), listen(t, to, "udp4")
	room(t, receiver)
	read := readNumbers(receiver, size)
	before, _ := from.Network().Counts()
	done := func() (delivered, all int) {
		c, _ := from.Network().Counts()
		delivered = c.Delivered - before.Delivered
		return delivered, delivered + c.Lost - before.Lost + c.Overflowed - before.Overflowed + c.Dark - before.Dark
	}

	data := make([]byte, size)
	for i := range packets {
		eventually(t, "the line takes what was sent", func() bool {
			delivered, all := done()
			return i-all < inFlight && delivered-read.count() < inFlight
		})
		binary.BigEndian.PutUint32(data, uint32(i))
		if _, err := sender.WriteTo(data, receiver.LocalAddr()); err != nil {
			t.Fatal(err)
		}
	}

	eventually(t, "all packets are delivered or dropped", func() bool { _, all := done(); return all >= packets })
	eventually(t, "all packets that were delivered arrive", func() bool {
		delivered, _ := done()
		return read.count() >= delivered
	})
	return read.stop(t)
}

// numbers are those of the packets that a socket receives.
type numbers struct {
	conn  net.PacketConn
	ended chan struct{}

	mu          sync.Mutex
	all         []int     // guarded by mu
	first, last time.Time // guarded by mu
}

// readNumbers reads packets of size bytes until stop.
func readNumbers(conn net.PacketConn, size int) *numbers {
	r := &numbers{conn: conn, ended: make(chan struct{})}
	go func() {
		defer close(r.ended)
		for data := make([]byte, size); ; {
			if _, _, err := conn.ReadFrom(data); err != nil {
				return
			}
			r.note(int(binary.BigEndian.Uint32(data)))
		}
	}()
	return r
}

func (r *numbers) note(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last = time.Now()
	if len(r.all) == 0 {
		r.first = r.last
	}
	r.all = append(r.all, n)
}

func (r *numbers) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.all)
}

// stop ends reading, and returns what was read, and the time between the first packet and the last.
func (r *numbers) stop(t *testing.T) (all []int, took time.Duration) {
	t.Helper()
	if err := r.conn.SetReadDeadline(time.Now()); err != nil {
		t.Fatal(err)
	}
	<-r.ended
	return r.all, r.last.Sub(r.first)
}

// room gives a socket buffer space for everything that a test sends, beyond what the machine allows a program to ask
// for.
func room(t *testing.T, conn net.PacketConn) {
	t.Helper()
	raw, err := conn.(*net.UDPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		failed = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUFFORCE, 32<<20)
	})
	if err := errors.Join(err, failed); err != nil {
		t.Fatal(err)
	}
}

// A line loses the share that was asked for and keeps the order, and counts everything that it drops.
func TestLineLosesItsShare(t *testing.T) {
	t.Parallel()
	lab := New(t)
	a, b := lab.Public("a"), lab.Public("b")
	const packets = 3000
	for _, share := range []float64{0, 0.01, 0.1, 0.5} {
		before, _ := a.Network().Counts()
		a.Network().Impair(Quality{Loss: share, Delay: time.Millisecond}, Quality{})
		arrived, _ := stream(t, a, b, packets, 100, 50)
		counts, _ := a.Network().Counts()
		lost, sigma := float64(counts.Lost-before.Lost), math.Sqrt(packets*share*(1-share))
		if math.Abs(lost-packets*share) > 5*sigma || len(arrived) != packets-int(lost) {
			t.Errorf("loss %v: %v of %d were lost and %d arrived; want %v ± %.0f", share, lost, packets, len(arrived),
				packets*share, 5*sigma)
		}

		for i := range arrived[1:] {
			if arrived[i+1] <= arrived[i] {
				t.Fatalf("packet %d came after %d", arrived[i+1], arrived[i])
			}
		}
	}
}

// A line carries its rate and no more; what would wait too long is dropped.
func TestLineCarriesItsRate(t *testing.T) {
	t.Parallel()
	lab := New(t)
	a, b := lab.Public("a"), lab.Public("b")
	const packets, size, headers = 150, 1000, 28
	for _, rate := range []int{1_000_000, 4_000_000} {
		a.Network().Impair(Quality{Rate: rate, Queue: 10 * time.Second}, Quality{})
		begin := time.Now()
		arrived, took := stream(t, a, b, packets, size, packets)
		all := time.Since(begin)
		want := time.Duration((packets-1)*(size+headers)*8) * time.Second / time.Duration(rate)
		if len(arrived) != packets || all < want || took > 3*want {
			t.Errorf("%d bit/s: %d packets took %v, %v from the first; want %v", rate, len(arrived), all, took, want)
		}
	}

	a.Network().Impair(Quality{Rate: 1_000_000, Queue: 80 * time.Millisecond}, Quality{})
	arrived, _ := stream(t, a, b, packets, size, packets)
	if up, _ := a.Network().Counts(); up.Overflowed == 0 || len(arrived) < 10 || len(arrived)+up.Overflowed != packets {
		t.Errorf("%d packets arrived and %d overflowed, of %d; the line has room for 10", len(arrived), up.Overflowed,
			packets)
	}
}

// A line that is down loses everything, and is as before when it is up again.
func TestLineThatIsDownLosesEverything(t *testing.T) {
	t.Parallel()
	lab := New(t)
	a, b := lab.Public("a"), lab.Public("b")
	a.Network().Down()
	if arrived, _ := stream(t, a, b, 20, 100, 20); len(arrived) > 0 {
		t.Errorf("%d packets came over a line that is down", len(arrived))
	}

	b.Network().Down()
	a.Network().Up()
	from, to := listen(t, a, "udp4"), listen(t, b, "udp4")
	if _, err := from.WriteTo([]byte("lost"), to.LocalAddr()); err != nil {
		t.Fatal(err)
	}

	eventually(t, "a packet is lost on its way down", func() bool {
		_, down := b.Network().Counts()
		return down.Dark == 1
	})
	b.Network().Up()
	if arrived, _ := stream(t, a, b, 20, 100, 20); len(arrived) != 20 {
		t.Errorf("%d of 20 packets came over a line that is up", len(arrived))
	}
}
