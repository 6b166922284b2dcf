package turn

import (
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"github.com/peephole-cam/peephole/turn/xdp"
)

// kernel maintains the routes of package turn/xdp, one for every channel between two UDP clients that both ends have
// bound. It decides nothing, and the server works without it: a route exists only while relay.pass would let such a
// packet through, and a packet without a route goes to a worker. If a route cannot be deleted, XDP ends altogether.
// relay.mu must be held when its methods are called.
type kernel struct {
	forwarder forwarder
	local     netip.Addr // the address at which clients reach us; invalid: their bindings say it
	limits    Limits
	log       *slog.Logger
	buckets   map[*tokenBucket]*kernelBucket
	unused    map[*tokenBucket]xdp.TokenBucket // that no client uses, but that may not be full yet
	swept     time.Duration
	closed    bool
	last      xdp.Counts // once closed
}

// maxDeletes is how often the kernel may refuse to delete a route, since it may be busy, before XDP ends.
const maxDeletes = 8

// forwarder is a [xdp.Forwarder].
type forwarder interface {
	AddClient() (xdp.Client, error)
	RemoveClient(xdp.Client) error
	AddTokenBucket(rate int64) (xdp.TokenBucket, error)
	RemoveTokenBucket(xdp.TokenBucket)
	SetRoute(xdp.Channel, xdp.Route) error
	DeleteRoute(xdp.Channel) error
	Counts() (xdp.Counts, error)
	Close() error
}

// kernelBucket is the counterpart of one of our token buckets in the kernel. The two count separately: a client that
// sends half of its packets in a way that the kernel does not handle can have twice its rate. But starting anew gains
// nothing: a bucket that no client in the kernel uses any more counts as empty with us, and stays as it is in the
// kernel until it would be full.
type kernelBucket struct {
	bucket xdp.TokenBucket
	uses   int
}

// kernelClient is an allocation as the kernel knows it.
type kernelClient struct {
	client   xdp.Client
	at       netip.AddrPort
	ours     []*tokenBucket // the keys in kernel.buckets that it uses
	buckets  []xdp.TokenBucket
	channels []uint16 // that have a route
	routed   bool     // it has had a route
}

func newKernel(f forwarder, local netip.Addr, limits Limits, log *slog.Logger) *kernel {
	return &kernel{
		forwarder: f,
		local:     local,
		limits:    limits,
		log:       log,
		buckets:   make(map[*tokenBucket]*kernelBucket),
		unused:    make(map[*tokenBucket]xdp.TokenBucket),
	}
}

// kernelCounts returns what XDP has done; nothing without XDP.
func (r *relay) kernelCounts() xdp.Counts {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.kernel == nil {
		return xdp.Counts{}
	}
	return r.kernel.counts()
}

// closeKernel detaches XDP, if it is attached.
func (r *relay) closeKernel() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.kernel == nil {
		return nil
	}
	return r.kernel.close()
}

// counts returns what XDP has done, as far as is known.
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

// refresh brings the routes from and to an allocation up to date.
func (k *kernel) refresh(a *allocation) {
	if k.closed {
		return
	}
	k.updateRoutes(a)
	if b := a.bound.Load(); b != nil {
		k.updatePeers(b)
	}
}

// removeAllocation forgets an allocation that has just left its session, and deletes all routes from it and to it.
func (k *kernel) removeAllocation(a *allocation, was *binding) {
	if k.closed {
		return
	}
	k.updateRoutes(a)
	k.updatePeers(was)
	k.removeClient(a)
}

// updatePeers updates the routes of all allocations at the other end of a binding's session.
func (k *kernel) updatePeers(b *binding) {
	for _, peer := range b.session.allocations(b.user.role.other()) {
		k.updateRoutes(peer)
	}
}

// updateRoutes sets the routes from an allocation, and deletes those that no longer hold.
func (k *kernel) updateRoutes(a *allocation) {
	b := a.bound.Load()
	var now []uint16
	for _, e := range a.currentRoutes() {
		if e.channel == 0 || b == nil {
			continue
		}
		if peer := b.peer(e.peer); peer != nil && k.setRoute(a, b, e.channel, peer) {
			now = append(now, e.channel)
		}
	}

	if a.kernel == nil {
		return
	}
	for _, channel := range a.kernel.channels {
		if !slices.Contains(now, channel) {
			k.deleteRoute(xdp.Channel{Client: a.kernel.at, Number: channel})
		}
	}
	a.kernel.channels = now
}

// deleteRoute deletes a route. If it cannot, it detaches XDP: no packet may take a route that no longer holds.
func (k *kernel) deleteRoute(c xdp.Channel) {
	if k.closed {
		return
	}

	var err error
	for range maxDeletes {
		if err = k.forwarder.DeleteRoute(c); err == nil {
			return
		}
	}
	k.log.Error("TURN goes on without XDP: a route cannot be deleted", "error", err)
	if err := k.close(); err != nil {
		k.log.Error("detach XDP", "error", err)
	}
}

// setRoute sets the route of a channel to a peer, and reports whether the kernel can serve both ends.
func (k *kernel) setRoute(a *allocation, b *binding, channel uint16, peer *allocation) bool {
	to := peer.bound.Load()
	if to == nil {
		return false
	}
	back := peer.currentRoutes().channelTo(a.host)
	server, via := k.serverAddress(b), k.serverAddress(to)
	if back == 0 || !server.IsValid() || !via.IsValid() {
		return false
	}

	sender, receiver := k.clientOf(a, b), k.clientOf(peer, to)
	if sender == nil || receiver == nil {
		return false
	}
	err := k.forwarder.SetRoute(xdp.Channel{Client: sender.at, Number: channel}, xdp.Route{
		Server:   server,
		Via:      via,
		To:       xdp.Channel{Client: receiver.at, Number: back},
		Sender:   sender.client,
		Receiver: receiver.client,
		Buckets:  sender.buckets,
	})
	if err != nil {
		k.log.Debug("XDP leaves a route to the workers", "error", err)
		return false
	}
	sender.routed = true
	return true
}

// serverAddress returns the address at which a client reaches us, invalid if the kernel cannot serve the client.
func (k *kernel) serverAddress(b *binding) netip.Addr {
	switch {
	case b.stream != nil || b.to.Addr().Zone() != "":
		return netip.Addr{}
	case b.local.IsValid():
		return b.local
	}
	return k.local
}

// clientOf returns an allocation as the kernel knows it, and introduces it if needed; nil if there is no room.
func (k *kernel) clientOf(a *allocation, b *binding) *kernelClient {
	if a.kernel != nil || k.closed {
		return a.kernel
	}
	client, err := k.forwarder.AddClient()
	if err != nil {
		k.log.Debug("XDP leaves a client to the workers", "error", err)
		return nil
	}

	c := &kernelClient{client: client, at: netip.AddrPortFrom(b.to.Addr().Unmap(), b.to.Port())}
	a.kernel = c
	l := k.limits
	ok := k.useBucket(c, &a.bucket, l.AllocationRate) && k.useBucket(c, &a.relay.bucket, l.ServerRate)
	if ok && b.payer != nil {
		ok = k.useBucket(c, &b.payer.bucket, l.PayerRate)
	}
	if ok && b.address != nil {
		ok = k.useBucket(c, &b.address.bucket, l.ClientRate)
	}
	if !ok {
		k.removeClient(a)
		return nil
	}
	return c
}

// useBucket makes the kernel limit a client by the counterpart of one of our buckets. It reports whether it could.
func (k *kernel) useBucket(c *kernelClient, ours *tokenBucket, rate int64) bool {
	if rate == 0 {
		return true
	}

	in := k.buckets[ours]
	if in == nil {
		number, ok := k.unused[ours]
		if !ok {
			var err error
			if number, err = k.forwarder.AddTokenBucket(rate); err != nil {
				k.log.Debug("XDP leaves a client to the workers", "error", err)
				return false
			}
		}
		delete(k.unused, ours)
		in = &kernelBucket{bucket: number}
		k.buckets[ours] = in
	}

	in.uses++
	c.ours = append(c.ours, ours)
	c.buckets = append(c.buckets, in.bucket)
	return true
}

// removeClient forgets an allocation, which must have no more routes from it or to it.
func (k *kernel) removeClient(a *allocation) {
	if a.kernel == nil || k.closed {
		return
	}

	now := time.Since(a.relay.start)
	for _, ours := range a.kernel.ours {
		in := k.buckets[ours]
		if in.uses--; in.uses > 0 || ours == &a.relay.bucket { // the server's stays
			continue
		}
		delete(k.buckets, ours)
		if ours == &a.bucket { // ends with the allocation
			k.forwarder.RemoveTokenBucket(in.bucket)
			continue
		}
		k.unused[ours] = in.bucket
		if a.kernel.routed {
			ours.drain(now)
		}
	}
	k.sweep(now)

	if err := k.forwarder.RemoveClient(a.kernel.client); err != nil {
		k.log.Error("take a client out of XDP", "error", err)
	}
	a.kernel = nil
}

// sweep removes unused buckets that would be full by now, once a second at most.
func (k *kernel) sweep(now time.Duration) {
	if now-k.swept < time.Second {
		return
	}
	k.swept = now
	for ours, number := range k.unused {
		if ours.isFull(now) {
			k.forwarder.RemoveTokenBucket(number)
			delete(k.unused, ours)
		}
	}
}
