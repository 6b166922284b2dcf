package turn

import (
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"github.com/peephole-cam/peephole/turn/xdp"
)

// kernel keeps the routes of package turn/xdp: for every channel between two UDP clients that both ends have bound. It decides
// nothing, and everything goes on without it: a route is there only while relay.pass would let such a packet through, and
// whatever has none comes to a worker. Where a route cannot be deleted, all end. Its methods are called with relay.mu held.
type kernel struct {
	forwarder forwarder
	local     netip.Addr // what clients reach us by, where their bindings do not say; invalid: those say it
	limits    Limits
	log       *slog.Logger
	paces     map[*pace]*kernelPace
	unused    map[*pace]xdp.Pace // of those that nobody passes, which may not be full yet
	swept     time.Duration
	closed    bool
	last      xdp.Counts // once closed
}

// deleteTries is how often the kernel is asked to delete a route before XDP ends: it may say that it is busy.
const deleteTries = 8

// forwarder is what package turn/xdp makes.
type forwarder interface {
	AddClient() (xdp.Client, error)
	RemoveClient(xdp.Client) error
	AddPace(rate int64) (xdp.Pace, error)
	RemovePace(xdp.Pace)
	Set(xdp.Channel, xdp.Route) error
	Delete(xdp.Channel) error
	Counts() (xdp.Counts, error)
	Close() error
}

// kernelPace stands for one of ours in the kernel. Each counts for itself: a client that sends half of its packets in a way that the
// kernel does not know can have twice its rate. Nobody gains by coming anew: what no end passes any more counts as empty with us, and
// stays the same in the kernel until it would be full.
type kernelPace struct {
	pace xdp.Pace
	uses int
}

// kernelEnd is an allocation as the kernel knows it.
type kernelEnd struct {
	client   xdp.Client
	at       netip.AddrPort
	rated    []*pace // with a number in kernel.paces, counted as used
	paces    []xdp.Pace
	channels []uint16 // that have a route
	routed   bool     // there was one
}

func newKernel(f forwarder, local netip.Addr, limits Limits, log *slog.Logger) *kernel {
	return &kernel{forwarder: f, local: local, limits: limits, log: log, paces: make(map[*pace]*kernelPace), unused: make(map[*pace]xdp.Pace)}
}

// inKernel is what XDP has done, nothing where there is none.
func (r *relay) inKernel() xdp.Counts {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.kernel == nil {
		return xdp.Counts{}
	}
	return r.kernel.counts()
}

// closeKernel detaches XDP, if there is some.
func (r *relay) closeKernel() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.kernel == nil {
		return nil
	}
	return r.kernel.close()
}

// counts is what XDP has done, the last that is known.
func (k *kernel) counts() xdp.Counts {
	if k.closed {
		return k.last
	}
	n, err := k.forwarder.Counts()
	if err != nil {
		k.log.Error("count what XDP forwards", "error", err)
		return k.last
	}
	k.last = n
	return n
}

// close detaches XDP, once.
func (k *kernel) close() error {
	if k.closed {
		return nil
	}
	k.counts() // for the last time
	k.closed = true
	return k.forwarder.Close()
}

// refresh brings the routes from and to an allocation in line.
func (k *kernel) refresh(a *allocation) {
	if k.closed {
		return
	}
	k.update(a)
	if b := a.bound.Load(); b != nil {
		for _, peer := range b.session.end(b.user.role.other()) {
			k.update(peer)
		}
	}
}

// leave takes out an allocation that is bound no more and that its session no longer has, with all routes from it and to it.
func (k *kernel) leave(a *allocation, was *binding) {
	if k.closed {
		return
	}
	k.update(a)
	for _, peer := range was.session.end(was.user.role.other()) {
		k.update(peer)
	}
	k.forget(a)
}

// update sets an allocation's routes, and deletes those that are no more.
func (k *kernel) update(a *allocation) {
	b := a.bound.Load()
	var now []uint16
	for _, e := range a.routed() {
		if e.channel == 0 || b == nil {
			continue
		}
		if peer := b.end(e.peer); peer != nil && k.set(a, b, e.channel, peer) {
			now = append(now, e.channel)
		}
	}
	if a.kernel == nil {
		return
	}
	for _, channel := range a.kernel.channels {
		if !slices.Contains(now, channel) {
			k.delete(xdp.Channel{Client: a.kernel.at, Number: channel})
		}
	}
	a.kernel.channels = now
}

// delete ends a route. If that cannot be done it ends all: a packet must not pass by a route that is no more.
func (k *kernel) delete(c xdp.Channel) {
	if k.closed {
		return
	}
	var err error
	for range deleteTries {
		if err = k.forwarder.Delete(c); err == nil {
			return
		}
	}
	k.log.Error("TURN goes on without XDP: a route cannot be deleted", "error", err)
	if err := k.close(); err != nil {
		k.log.Error("detach XDP", "error", err)
	}
}

// set makes the route of a channel to a peer, if both ends are such as the kernel can serve.
func (k *kernel) set(a *allocation, b *binding, channel uint16, peer *allocation) bool {
	to := peer.bound.Load()
	if to == nil {
		return false
	}
	back := peer.routed().to(a.host)
	server, via := k.reached(b), k.reached(to)
	if back == 0 || !server.IsValid() || !via.IsValid() {
		return false
	}
	from, target := k.end(a, b), k.end(peer, to)
	if from == nil || target == nil {
		return false
	}
	err := k.forwarder.Set(xdp.Channel{Client: from.at, Number: channel}, xdp.Route{
		Server: server, Via: via, To: xdp.Channel{Client: target.at, Number: back},
		Sender: from.client, Receiver: target.client, Paces: from.paces,
	})
	if err != nil {
		k.log.Debug("XDP leaves a route to the workers", "error", err)
	}
	from.routed = from.routed || err == nil
	return err == nil
}

// reached is the address at which a client reaches us, invalid for one that is not to be served here.
func (k *kernel) reached(b *binding) netip.Addr {
	switch {
	case b.stream != nil || b.to.Addr().Zone() != "":
		return netip.Addr{}
	case b.local.IsValid():
		return b.local
	}
	return k.local
}

// end returns an allocation as the kernel knows it, which it is told now if need be; nil where there is no room.
func (k *kernel) end(a *allocation, b *binding) *kernelEnd {
	if a.kernel != nil || k.closed {
		return a.kernel
	}
	client, err := k.forwarder.AddClient()
	if err != nil {
		k.log.Debug("XDP leaves a client to the workers", "error", err)
		return nil
	}
	e := &kernelEnd{client: client, at: netip.AddrPortFrom(b.to.Addr().Unmap(), b.to.Port())}
	a.kernel = e
	l := k.limits
	ok := k.rate(e, &a.pace, l.AllocationRate) && k.rate(e, &a.relay.pace, l.ServerRate)
	if ok && b.payer != nil {
		ok = k.rate(e, &b.payer.pace, l.PayerRate)
	}
	if ok && b.address != nil {
		ok = k.rate(e, &b.address.pace, l.ClientRate)
	}
	if !ok {
		k.forget(a)
		return nil
	}
	return e
}

// rate has an end pass one of our paces.
func (k *kernel) rate(e *kernelEnd, p *pace, rate int64) bool {
	if rate == 0 {
		return true
	}
	in := k.paces[p]
	if in == nil {
		number, ok := k.unused[p]
		if !ok {
			var err error
			if number, err = k.forwarder.AddPace(rate); err != nil {
				k.log.Debug("XDP leaves a client to the workers", "error", err)
				return false
			}
		}
		delete(k.unused, p)
		in = &kernelPace{pace: number}
		k.paces[p] = in
	}
	in.uses++
	e.rated = append(e.rated, p)
	e.paces = append(e.paces, in.pace)
	return true
}

// forget takes an allocation out, which must have no routes to it or from it any more.
func (k *kernel) forget(a *allocation) {
	if a.kernel == nil || k.closed {
		return
	}
	now := time.Since(a.relay.start)
	for _, p := range a.kernel.rated {
		in := k.paces[p]
		if in.uses--; in.uses > 0 || p == &a.relay.pace { // the server's stays
			continue
		}
		delete(k.paces, p)
		if p == &a.pace { // which ends with it
			k.forwarder.RemovePace(in.pace)
			continue
		}
		k.unused[p] = in.pace
		if a.kernel.routed {
			p.empty(now)
		}
	}
	k.sweep(now)
	if err := k.forwarder.RemoveClient(a.kernel.client); err != nil {
		k.log.Error("take a client out of XDP", "error", err)
	}
	a.kernel = nil
}

// sweep forgets limits that nobody passes and that are as good as new, once a second at most.
func (k *kernel) sweep(now time.Duration) {
	if now-k.swept < time.Second {
		return
	}
	k.swept = now
	for p, number := range k.unused {
		if p.full(now) {
			k.forwarder.RemovePace(number)
			delete(k.unused, p)
		}
	}
}
