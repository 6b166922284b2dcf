package turn

import (
	"log/slog"
	"net/netip"
	"slices"

	"github.com/peephole-cam/peephole/turn/xdp"
)

// kernel keeps the routes of package turn/xdp: for every channel between two UDP clients that both ends have bound. It decides
// nothing, and everything goes on without it: a route is there only while relay.pass would let such a packet through, and
// whatever has none comes to a worker. Its methods are called with relay.mu held.
type kernel struct {
	forwarder forwarder
	local     netip.Addr // what clients reach us by, where their bindings do not say; invalid: those say it
	limits    Limits
	log       *slog.Logger
	paces     map[*pace]*kernelPace
	closed    bool
	last      xdp.Counts // once closed
}

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
// kernel does not know can have twice its rate.
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
}

func newKernel(f forwarder, local netip.Addr, limits Limits, log *slog.Logger) *kernel {
	return &kernel{forwarder: f, local: local, limits: limits, log: log, paces: make(map[*pace]*kernelPace)}
}

// inKernel is what XDP has done, nothing where there is none.
func (r *relay) inKernel() xdp.Counts {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := r.kernel
	if k == nil {
		return xdp.Counts{}
	}
	if !k.closed {
		n, err := k.forwarder.Counts()
		if err != nil {
			k.log.Error("count what XDP forwards", "error", err)
			return k.last
		}
		k.last = n
	}
	return k.last
}

// closeKernel detaches XDP, if there is some.
func (r *relay) closeKernel() error {
	r.inKernel() // for the last time
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.kernel == nil || r.kernel.closed {
		return nil
	}
	r.kernel.closed = true
	return r.kernel.forwarder.Close()
}

// refresh brings the routes from and to an allocation in line.
func (k *kernel) refresh(a *allocation) {
	k.update(a)
	if b := a.bound.Load(); b != nil {
		for _, peer := range b.session.end(b.user.role.other()) {
			k.update(peer)
		}
	}
}

// leave takes out an allocation that is bound no more and that its session no longer has, with all routes from it and to it.
func (k *kernel) leave(a *allocation, was *binding) {
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
		if slices.Contains(now, channel) {
			continue
		}
		if err := k.forwarder.Delete(xdp.Channel{Client: a.kernel.at, Number: channel}); err != nil {
			k.log.Error("delete a route of XDP", "error", err)
		}
	}
	a.kernel.channels = now
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
	if a.kernel != nil {
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
		number, err := k.forwarder.AddPace(rate)
		if err != nil {
			k.log.Debug("XDP leaves a client to the workers", "error", err)
			return false
		}
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
	if a.kernel == nil {
		return
	}
	for _, p := range a.kernel.rated {
		in := k.paces[p]
		if in.uses--; in.uses == 0 {
			k.forwarder.RemovePace(in.pace)
			delete(k.paces, p)
		}
	}
	if err := k.forwarder.RemoveClient(a.kernel.client); err != nil {
		k.log.Error("take a client out of XDP", "error", err)
	}
	a.kernel = nil
}
