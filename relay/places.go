package relay

import (
	"net/netip"
	"runtime"
	"time"

	"github.com/peephole-cam/peephole/netlimit"
)

const (
	// ownFiles is how many descriptors are reserved for the rest of the process: listeners, UDP sockets, files. If
	// there are few descriptors, only a quarter of them is reserved.
	ownFiles = 256
	// maxStrangers bounds the connections of clients that have shown nothing yet, however many descriptors there are,
	// because each connection costs a goroutine and buffers.
	maxStrangers = 8192
	// maxOperator is how many places the Metrics port has of its own, so that a relay under attack can be observed.
	maxOperator = 64

	// A connection costs one unit of work, or four with TLS, or eight over HTTP/3. A request costs one, and one more
	// for each workBytes of its answer. Each core does workPerSecond, and is idle for most of that second.
	workPerSecond = 1000
	workOfTLS     = 4
	workOfHTTP3   = 8
	workBytes     = 32 << 10
	workWindow    = 10 * time.Second
)

// places bounds the connections that the process may have open, and the work that new ones may cause. The places are
// divided: strangers cannot take those of admitted clients, and tickets and addresses cannot take each other's.
type places struct {
	strangers *lobby         // clients that have shown nothing yet
	addresses *netlimit.Pool // admitted, and paid for by an address
	tickets   *netlimit.Pool // admitted, and paid for by a ticket
	operator  *lobby         // connections of the Metrics port
	work      *netlimit.Rate

	proxies           proxies
	loopbackUnlimited bool
}

var (
	// everything is the share of trusted proxies. Only what is left bounds them.
	everything = netlimit.Share{Free: 1e9}
	// carrier is the share of an IPv4 address, which may stand for a thousand households.
	carrier = netlimit.Share{Free: 1. / 2}
)

// newPlaces divides a number of file descriptors. If tickets are required, cameras hold them, and viewers pay by their
// addresses.
func newPlaces(files int, c *Config) *places {
	usable := int64(files - min(ownFiles, files/4))
	strangers := min(maxStrangers, usable/4)
	addresses := (usable - strangers) / 8 * 7
	if c.TicketKey != nil {
		addresses = (usable - strangers) / 2
	}

	return &places{
		strangers:         newLobby(netlimit.Config{Size: strangers, IPv4: carrier, Named: everything}),
		addresses:         netlimit.NewPool(netlimit.Config{Size: addresses, IPv4: carrier}),
		tickets:           netlimit.NewPool(netlimit.Config{Size: usable - strangers - addresses}),
		operator:          newLobby(netlimit.Config{Size: maxOperator, Named: everything}),
		work:              netlimit.NewRate(netlimit.Config{Size: workSize(), Named: everything}, workWindow),
		proxies:           proxies{c.TrustedProxies, c.ProxyHeader},
		loopbackUnlimited: c.LoopbackUnlimited,
	}
}

// lobby holds the places of connections that are not admitted yet.
type lobby struct {
	*netlimit.Pool
	size int64
}

func newLobby(c netlimit.Config) *lobby { return &lobby{Pool: netlimit.NewPool(c), size: c.Size} }

// isCrowded reports whether to close connections that have been here for a long time.
func (l *lobby) isCrowded() bool { return l.Used() > l.size/2 }

func workSize() int64 {
	return workPerSecond * int64(runtime.GOMAXPROCS(0)) * int64(workWindow/time.Second)
}

// proxyPayer pays for what cannot yet be charged to the client behind a trusted proxy.
var proxyPayer = netlimit.Named([16]byte{'p', 'r', 'o', 'x', 'y'})

// peerPayer returns who pays for a connection from an address while its client is unknown. limited is false if the
// connection is not limited at all.
func (p *places) peerPayer(a netip.Addr) (who netlimit.Payer, limited bool) {
	if who, limited = p.clientPayer(a); limited && p.proxies.trust(a) {
		who = proxyPayer
	}
	return who, limited
}

// clientPayer returns who pays for a client at an address. limited is false if the client is not limited at all. A
// trusted proxy that names no client is itself a client, with the share of one address; otherwise anybody behind it
// could take everything.
func (p *places) clientPayer(a netip.Addr) (who netlimit.Payer, limited bool) {
	if p.loopbackUnlimited && a.Unmap().IsLoopback() {
		return who, false
	}
	return netlimit.PayerOf(a), true
}

// chargePeer charges the work of a connection to its peer, and reports whether the peer could afford it.
func (p *places) chargePeer(peer netip.Addr, work int64) bool {
	who, limited := p.peerPayer(peer)
	return !limited || p.work.Charge(who, work, time.Now()) == nil
}

// chargeClient charges work to a client, and reports whether the client could afford it.
func (p *places) chargeClient(client netip.Addr, work int64) bool {
	who, limited := p.clientPayer(client)
	return !limited || p.work.Charge(who, work, time.Now()) == nil
}
