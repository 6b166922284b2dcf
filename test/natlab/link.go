//go:build linux

package natlab

import (
	"math/rand/v2"
	"net/netip"
	"os"
	"sync"
	"time"
)

// Quality is what a line does to the packets of one direction. The zero value is a perfect line.
type Quality struct {
	Delay time.Duration // one way
	Loss  float64       // share of the packets that are lost, 0 to 1, each independently
	Rate  int           // bit/s, including IP headers; 0: without limit
	Queue time.Duration // longest wait for the rate; what would wait longer is dropped; 0: 200 ms
	MTU   int           // largest packet in bytes; a larger one is lost silently; 0: an Ethernet's
}

// Counts says what happened to the packets of one direction.
type Counts struct {
	Delivered  int
	Lost       int // by Quality.Loss
	Oversized  int // by Quality.MTU
	Overflowed int // by Quality.Queue
	Dark       int // while the line was down
}

// A link is the line between a router's outside and the internet: two TUN devices and what happens to packets between
// them.
type link struct {
	router, internet *os.File
	up, down         *direction
	nat              translation // nil if the router's kernel does everything

	mu         sync.Mutex
	recordings []*Recording
	far        map[netip.Addr]*direction // by destination address; delays packets before the line

	done    chan struct{}
	workers sync.WaitGroup
}

// A translation changes packets at the outside of a router.
type translation interface {
	outward(packet []byte) (out, back []byte) // to the internet, and back to the inside (a hairpin)
	inward(packet []byte) []byte              // nil: dropped
	forget(newPorts bool)                     // loses all mappings
}

func newLink(router, internet *os.File, nat translation) *link {
	l := &link{
		router:   router,
		internet: internet,
		nat:      nat,
		up:       newDirection(1),
		down:     newDirection(2),
		far:      make(map[netip.Addr]*direction),
		done:     make(chan struct{}),
	}

	l.workers.Go(func() { read(l.router, l.leave) })
	l.workers.Go(func() { read(l.internet, l.down.push) })
	l.workers.Go(func() { l.up.deliver(l.done, func(p []byte) { write(l.internet, p) }) })
	l.workers.Go(func() { l.down.deliver(l.done, l.arrive) })
	return l
}

func (l *link) close() {
	close(l.done)
	l.router.Close()
	l.internet.Close()
	l.workers.Wait()
}

// leave handles a packet that the router's kernel sent.
func (l *link) leave(p []byte) {
	var back []byte
	if l.nat != nil {
		p, back = l.nat.outward(p)
	}
	if back != nil {
		write(l.router, back)
	}

	if p != nil {
		l.record(true, p)
		l.on(p).push(p)
	}
}

// on returns the direction that takes a packet which leaves the network.
func (l *link) on(p []byte) *direction {
	h, _ := parse(p)
	l.mu.Lock()
	defer l.mu.Unlock()
	if far := l.far[h.dst.Addr()]; far != nil {
		return far
	}
	return l.up
}

// distance delays packets to an address from now on.
func (l *link) distance(to netip.Addr, oneWay time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	far := l.far[to]
	if far == nil {
		far = newDirection(3)
		l.far[to] = far
		l.workers.Go(func() { far.deliver(l.done, l.up.push) })
	}
	far.set(Quality{Delay: oneWay})
}

// arrive handles a packet that has come over the line.
func (l *link) arrive(p []byte) {
	l.record(false, p)
	if l.nat != nil {
		p = l.nat.inward(p)
	}
	if p != nil {
		write(l.router, p)
	}
}

func (l *link) record(out bool, p []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.recordings {
		r.add(out, p)
	}
}

// read calls each with every packet until the file is closed. It skips what a kernel multicasts to its neighbours of
// its own accord: there are none.
func read(from *os.File, each func([]byte)) {
	buffer := make([]byte, 1<<16)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return // closed: nothing else ends a TUN device
		}
		if h, _ := parse(buffer[:n]); !h.dst.Addr().IsMulticast() {
			each(append([]byte(nil), buffer[:n]...))
		}
	}
}

// write gives a packet to a kernel. If the kernel refuses it, it is lost, as anywhere: the device may be down or gone.
func write(to *os.File, p []byte) { _, _ = to.Write(p) }

// A direction delays, drops and queues packets, and keeps their order.
type direction struct {
	mu      sync.Mutex
	quality Quality
	dark    bool
	free    time.Time // when the line has sent what waits for its rate
	random  *rand.Rand
	counts  Counts
	queue   chan parcel
}

type parcel struct {
	packet []byte
	due    time.Time
}

func newDirection(seed uint64) *direction {
	return &direction{random: rand.New(rand.NewPCG(seed, 0)), queue: make(chan parcel, 8192)}
}

// push accepts a packet at the beginning of the line.
func (d *direction) push(p []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	q, due := d.quality, time.Now()
	switch {
	case d.dark:
		d.counts.Dark++
		return
	case q.MTU > 0 && len(p) > q.MTU:
		d.counts.Oversized++
		return
	case d.random.Float64() < q.Loss:
		d.counts.Lost++
		return
	}

	if q.Rate > 0 {
		longest := q.Queue
		if longest == 0 {
			longest = 200 * time.Millisecond
		}
		begin := due
		if d.free.After(begin) {
			begin = d.free
		}

		if begin.Sub(due) > longest {
			d.counts.Overflowed++
			return
		}
		d.free = begin.Add(time.Duration(len(p)) * 8 * time.Second / time.Duration(q.Rate))
		due = d.free
	}

	select {
	case d.queue <- parcel{p, due.Add(q.Delay)}:
	default:
		d.counts.Overflowed++
	}
}

// deliver gives the packets to out when they are due, until done.
func (d *direction) deliver(done <-chan struct{}, out func([]byte)) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case p := <-d.queue:
			if wait := time.Until(p.due); wait > 0 {
				timer.Reset(wait)
				select {
				case <-timer.C:
				case <-done:
					return
				}
			}

			d.mu.Lock()
			d.counts.Delivered++
			d.mu.Unlock()
			out(p.packet)
		case <-done:
			return
		}
	}
}

func (d *direction) set(q Quality) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.quality, d.free = q, time.Time{}
}

func (d *direction) darken(dark bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.dark = dark
}

func (d *direction) counted() Counts {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.counts
}
