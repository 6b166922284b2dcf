package session

import (
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/transport/v5"
	"github.com/pion/transport/v5/deadline"

	"github.com/peephole-cam/peephole/test/bubble"
)

// quality is what a line does to the packets of one direction. The rate includes the IPv4 and UDP headers.
type quality struct {
	delay  time.Duration // one way
	jitter time.Duration // added delay of up to this much, drawn for each packet; the order stays
	// once in every napEvery nothing is delivered for up to this long, as by a radio, or a machine with other work
	naps  time.Duration
	loss  float64       // the probability that a packet is lost
	burst float64       // the same for a packet that follows a lost one; 0 means loss
	rate  int           // bit/s; 0 means no limit
	queue time.Duration // how long a packet may wait for the rate; it is dropped if it would wait longer
	// after so many packets, one more is sent that can replace any of them and is as large as the largest; 0: none
	parity int
}

const napEvery = 400 * time.Millisecond

// line is one direction between two hosts. It keeps the order of packets.
type line struct {
	mu         sync.Mutex
	quality    quality      // guarded by mu
	free       time.Time    // guarded by mu; when everything that waits for the rate has been sent
	random     *rand.Rand   // guarded by mu
	sent       int          // guarded by mu; bytes with headers, including lost ones
	overflowed int          // guarded by mu; packets
	tap        func([]byte) // guarded by mu; sees each packet that is pushed; may be nil
	last       time.Time    // guarded by mu; when the last packet is delivered
	group      group        // guarded by mu; the packets since the last parity packet
	losing     bool         // guarded by mu; the last packet was lost
	queue      chan parcel
}

// group is the packets from which one parity packet is made.
type group struct {
	packets, longest int
	missing          []parcel
}

type parcel struct {
	data     []byte
	from, to netip.AddrPort
	due      time.Time
}

func newLine(q quality, seed uint64) *line {
	return &line{quality: q, random: rand.New(rand.NewPCG(seed, 0)), queue: make(chan parcel, 1<<14)}
}

func (l *line) set(q quality) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.quality = q
}

// counted returns how many bytes have been sent and how many packets have overflowed so far. It locks, because some of
// pion's goroutines outlive a session for a moment.
func (l *line) counted() (sent, overflowed int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sent, l.overflowed
}

// push puts a packet on the line.
func (l *line) push(p parcel) {
	const headers = 28 // IPv4 and UDP
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.tap != nil {
		l.tap(p.data)
	}

	arrives := l.carry(&p, len(p.data)+headers)
	if arrives {
		l.arrive(p)
	}
	if l.quality.parity > 0 {
		l.protect(p, arrives)
	}
}

// protect sends a parity packet when it is time for one. mu must be held.
func (l *line) protect(p parcel, arrives bool) {
	const headers, more = 28, 12 // IPv4 and UDP; the list of protected packets
	g := &l.group
	if !arrives {
		g.missing = append(g.missing, p)
	}

	g.packets, g.longest = g.packets+1, max(g.longest, len(p.data))
	if g.packets < l.quality.parity {
		return
	}
	var parity parcel
	if l.carry(&parity, g.longest+more+headers) && len(g.missing) == 1 {
		g.missing[0].due = parity.due
		l.arrive(g.missing[0])
	}
	*g = group{}
}

// carry reports whether a packet arrives, and sets when it is due. mu must be held.
func (l *line) carry(p *parcel, size int) bool {
	l.sent += size
	now := time.Now()
	begin := now
	if l.free.After(now) {
		begin = l.free
	}

	if l.quality.rate > 0 {
		if begin.Sub(now) > l.quality.queue {
			l.overflowed++
			return false
		}
		begin = begin.Add(time.Duration(size) * 8 * time.Second / time.Duration(l.quality.rate))
		l.free = begin
	}

	chance := l.quality.loss
	switch q := l.quality; {
	case q.burst > 0 && l.losing:
		chance = q.burst
	case q.burst > 0:
		chance *= (1 - q.burst) / (1 - q.loss) // so that the total share of lost packets stays q.loss
	}

	if l.losing = l.random.Float64() < chance; l.losing { // after the queue, because a lost packet also uses the rate
		return false
	}
	p.due = begin.Add(l.quality.delay)
	if l.quality.jitter > 0 {
		p.due = p.due.Add(time.Duration(l.random.Int64N(int64(l.quality.jitter))))
	}

	if p.due = p.due.Add(l.nap(p.due)); p.due.Before(l.last) {
		p.due = l.last
	}
	l.last = p.due
	return true
}

// arrive records a packet that will arrive. mu must be held.
func (l *line) arrive(p parcel) {
	select {
	case l.queue <- p:
	default:
		l.overflowed++
	}
}

// nap returns how long after a given time nothing is delivered.
func (l *line) nap(at time.Time) time.Duration {
	if l.quality.naps == 0 {
		return 0
	}
	n := at.UnixNano() / int64(napEvery)
	long := time.Duration(rand.New(rand.NewPCG(uint64(n), 1)).Int64N(int64(l.quality.naps)))
	return max(0, long-time.Duration(at.UnixNano()%int64(napEvery)))
}

// run delivers packets until done is closed.
func (l *line) run(done <-chan struct{}, deliver func(parcel)) {
	for {
		select {
		case p := <-l.queue:
			wait := time.NewTimer(time.Until(p.due))
			select {
			case <-wait.C:
				deliver(p)
			case <-done:
				wait.Stop()
				return
			}
		case <-done:
			return
		}
	}
}

// host is a machine with one address, at one end of two lines. It implements only what ICE's host candidates need.
type host struct {
	transport.Net
	address netip.Addr
	out     *line

	mu    sync.Mutex
	conns map[netip.AddrPort]*lineConn // guarded by mu
	port  uint16                       // guarded by mu; the last port given out
}

func newHost(address string, out *line) *host {
	return &host{
		address: netip.MustParseAddr(address),
		out:     out,
		conns:   make(map[netip.AddrPort]*lineConn),
		port:    40000,
	}
}

var errNotHere = errors.New("not on this line")

func (h *host) Interfaces() ([]*transport.Interface, error) {
	i := transport.NewInterface(net.Interface{Index: 1, MTU: 1500, Name: "line0", Flags: net.FlagUp})
	i.AddAddress(&net.IPNet{IP: h.address.AsSlice(), Mask: net.CIDRMask(24, 32)})
	return []*transport.Interface{i}, nil
}

func (h *host) ResolveUDPAddr(_, address string) (*net.UDPAddr, error) {
	a, err := netip.ParseAddrPort(address)
	return net.UDPAddrFromAddrPort(a), err
}

func (h *host) ListenUDP(_ string, local *net.UDPAddr) (transport.UDPConn, error) {
	if ip, _ := netip.AddrFromSlice(local.IP); ip.Unmap() != h.address {
		return nil, errNotHere
	}

	h.mu.Lock()
	defer h.mu.Unlock()
	h.port++
	c := &lineConn{
		host:     h,
		at:       netip.AddrPortFrom(h.address, h.port),
		queue:    make(chan parcel, 1<<12),
		closed:   make(chan struct{}),
		patience: deadline.New(),
	}

	h.conns[c.at] = c
	return c, nil
}

// deliver passes a packet from the line to its socket, if there is one.
func (h *host) deliver(p parcel) {
	h.mu.Lock()
	c := h.conns[p.to]
	h.mu.Unlock()
	if c == nil {
		return
	}

	select {
	case c.queue <- p:
	default:
	}
}

// lineConn is a socket of a host.
type lineConn struct {
	transport.UDPConn
	host     *host
	at       netip.AddrPort
	queue    chan parcel
	closed   chan struct{}
	once     sync.Once
	patience *deadline.Deadline
}

func (c *lineConn) LocalAddr() net.Addr                { return net.UDPAddrFromAddrPort(c.at) }
func (c *lineConn) SetReadDeadline(t time.Time) error  { c.patience.Set(t); return nil }
func (c *lineConn) SetDeadline(t time.Time) error      { return c.SetReadDeadline(t) }
func (c *lineConn) SetWriteDeadline(_ time.Time) error { return nil }

func (c *lineConn) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case p := <-c.queue:
		return copy(b, p.data), net.UDPAddrFromAddrPort(p.from), nil
	case <-c.patience.Done():
		return 0, nil, os.ErrDeadlineExceeded
	case <-c.closed:
		return 0, nil, net.ErrClosed
	}
}

func (c *lineConn) WriteTo(b []byte, to net.Addr) (int, error) {
	select {
	case <-c.closed:
		return 0, net.ErrClosed
	default:
	}

	a := to.(*net.UDPAddr).AddrPort()
	c.host.out.push(parcel{
		data: append([]byte(nil), b...),
		from: c.at,
		to:   netip.AddrPortFrom(a.Addr().Unmap(), a.Port()),
	})

	return len(b), nil
}

func (c *lineConn) Close() error {
	c.once.Do(func() {
		close(c.closed)
		c.host.mu.Lock()
		defer c.host.mu.Unlock()
		delete(c.host.conns, c.at)
	})
	return nil
}

// The line does what the tests that use it assume: it has its delay, loses its share, carries its rate and no more, and
// queues no more than its queue holds.
func TestLine(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		const size = 1222 // 1250 with headers: 100 packets are a million bits
		l := newLine(quality{delay: 70 * ms, rate: 1_000_000, queue: 500 * ms}, 1)
		var arrived []time.Time
		done := make(chan struct{})
		var work sync.WaitGroup
		work.Go(func() { l.run(done, func(parcel) { arrived = append(arrived, time.Now()) }) })

		send := func(packets int) (took time.Duration) {
			arrived = nil
			begin := time.Now()
			for range packets {
				l.push(parcel{data: make([]byte, size)})
			}

			time.Sleep(time.Minute)
			synctest.Wait()
			return arrived[len(arrived)-1].Sub(begin)
		}

		if took := send(50); took != 570*ms || len(arrived) != 50 {
			t.Errorf("%d of 50 packets came within %v, want 570ms", len(arrived), took)
		}
		if took := send(100); took != 580*ms || l.overflowed != 49 {
			t.Errorf("the last of 100 packets came after %v and %d overflowed; want 580ms and 49", took, l.overflowed)
		}

		l.set(quality{loss: 0.2})
		if took := send(10_000); took != 0 || len(arrived) < 7800 || len(arrived) > 8200 {
			t.Errorf("%d of 10000 packets came within %v, want about 8000 at once", len(arrived), took)
		}
		l.set(quality{loss: 0.2, burst: 0.6})
		if send(10_000); len(arrived) < 7600 || len(arrived) > 8400 {
			t.Errorf("%d of 10000 packets came between bursts, want about 8000", len(arrived))
		}

		// 80 % arrive. A lost one is replaced if the other four of its five arrive: 0.8 + 0.2 * 0.8^4
		l.set(quality{loss: 0.2, parity: 4})
		if send(10_000); len(arrived) < 8650 || len(arrived) > 8980 {
			t.Errorf("%d of 10000 packets came with parity, want about 8820", len(arrived))
		}

		close(done)
		work.Wait()
	})
}
