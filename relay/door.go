package relay

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/peephole-cam/peephole/netlimit"
)

const (
	alpnHTTP = "http/1.1"
	alpnTURN = "stun.turn" // RFC 7443

	// helloWait is how long a connection has until its first byte, including its PROXY header and TLS handshake.
	helloWait = 5 * time.Second
	// maxSTUN is the greatest first byte of a STUN message (RFC 7983, section 7). HTTP begins with a letter.
	maxSTUN = 3
)

// door accepts the connections of one TCP port, whatever is in front of that port. Every connection takes a place
// before a byte of it is read, and has a deadline for its first byte. Then the door hands it on with TLS removed and
// with its client's address. A door that serves both HTTP and TURN tells them apart by ALPN or by the first byte, so a
// network that lets out only HTTPS can use both.
type door struct {
	net.Listener // raw TCP
	entrance
	tls        *tls.Config // nil means plain TCP
	proxied    bool        // trusted proxies may begin with a PROXY header
	lobby      *lobby
	http, turn *branch // nil if the door does not serve it
}

// entrance is what all ports of the relay have in common.
type entrance struct {
	name    string // in Refusals
	places  *places
	log     *slog.Logger
	refused map[refusal]*atomic.Int64 // the map itself does not change
}

func newEntrance(name string, places *places, log *slog.Logger) entrance {
	e := entrance{
		name:    name,
		places:  places,
		log:     log.With("door", name),
		refused: make(map[refusal]*atomic.Int64),
	}
	for _, why := range refusals {
		e.refused[why] = new(atomic.Int64)
	}
	return e
}

// refusal is why a port refused a connection, or answered a request with an error.
type refusal string

const (
	refusedShare     refusal = "share"     // its address, or a network around it, has used up its share
	refusedFull      refusal = "full"      // no place is left for anybody
	refusedWork      refusal = "work"      // its address makes too many connections or requests
	refusedProxy     refusal = "proxy"     // a trusted proxy sent a malformed header
	refusedHandshake refusal = "handshake" // no TLS handshake, or none in time
	refusedSilent    refusal = "silent"    // no first byte in time
	refusedBody      refusal = "body"      // a request has a body, which nothing here reads
)

var refusals = []refusal{
	refusedShare,
	refusedFull,
	refusedWork,
	refusedProxy,
	refusedHandshake,
	refusedSilent,
	refusedBody,
}

// newDoor returns a door that owns the listener.
func newDoor(name string, l net.Listener, places *places, log *slog.Logger) *door {
	return &door{
		Listener: l,
		entrance: newEntrance(name, places, log),
		proxied:  true,
		lobby:    places.strangers,
	}
}

// withProtocols returns a copy of c for clients that name one of these protocols (ALPN), or none, like browsers' TURN
// clients.
func withProtocols(c *tls.Config, protocols ...string) *tls.Config {
	c = c.Clone()
	c.NextProtos = protocols
	return c
}

// serveHTTP, serveTURN and serveBoth set what the door serves. With a nil configuration, its port is plain TCP.
func (d *door) serveHTTP(secure *tls.Config) {
	d.http = newBranch(d.Listener)
	d.speak(secure, alpnHTTP)
}

func (d *door) serveTURN(secure *tls.Config) (turn *branch) {
	d.turn = newBranch(d.Listener)
	d.speak(secure, alpnTURN)
	return d.turn
}

func (d *door) serveBoth(secure *tls.Config) (turn *branch) {
	d.http, d.turn = newBranch(d.Listener), newBranch(d.Listener)
	d.speak(secure, alpnHTTP, alpnTURN)
	return d.turn
}

func (d *door) speak(secure *tls.Config, protocols ...string) {
	if secure != nil {
		d.tls = withProtocols(secure, protocols...)
	}
}

// Run accepts connections until ctx ends. Then it closes the port, and every connection that it has not handed on.
func (d *door) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var receiving sync.WaitGroup
	defer receiving.Wait()
	defer cancel()
	defer context.AfterFunc(ctx, func() { d.Close() })()

	pause := 5 * time.Millisecond
	for {
		c, err := d.Accept()
		switch {
		case err == nil:
			pause = 5 * time.Millisecond
			d.accept(ctx, c, &receiving)
			continue
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return err
		}

		d.log.Warn("accept connection", "err", errors.Unwrap(err)) // unwrapped, so that it names no addresses
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
			pause = min(2*pause, time.Second)
		}
	}
}

// accept starts to receive a connection if there is a place for it.
func (d *door) accept(ctx context.Context, c net.Conn, receiving *sync.WaitGroup) {
	peer := addrPortOf(c.RemoteAddr()).Addr()
	introduced := d.proxied && d.places.proxies.introduce(peer)
	if !introduced && !d.places.chargePeer(peer, d.work()) {
		d.refuse(c, refusedWork)
		return
	}

	g, err := newGuest(c, d.places, d.lobby)
	if err != nil {
		d.refuse(c, whyNoPlace(err))
		return
	}

	receiving.Go(func() {
		b, client, why := d.receive(ctx, g, introduced)
		switch {
		case why != "":
			d.refused[why].Add(1)
			g.Close() // the raw connection, because closing TLS could block
		case !b.handOver(ctx, client):
			g.Close()
		}
	})
}

// work returns what a connection costs.
func (d *door) work() int64 {
	if d.tls != nil {
		return workOfTLS
	}
	return 1
}

func whyNoPlace(err error) refusal {
	if errors.Is(err, netlimit.ErrShare) {
		return refusedShare
	}
	return refusedFull
}

// refuse closes a connection in such a way that the kernel keeps no state of it.
func (d *door) refuse(c net.Conn, why refusal) {
	d.refused[why].Add(1)
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	c.Close()
}

// receive finds out who the client of a connection is and which branch it wants, or returns why to refuse it.
func (d *door) receive(ctx context.Context, g *guest, introduced bool) (*branch, net.Conn, refusal) {
	defer context.AfterFunc(ctx, func() { g.Conn.Close() })()
	g.SetDeadline(time.Now().Add(helloWait))
	if introduced {
		if why := d.readIntroduction(g); why != "" {
			return nil, nil, why
		}
	}

	c := net.Conn(g)
	if d.tls != nil {
		secure := tls.Server(g, d.tls)
		if err := secure.HandshakeContext(ctx); err != nil {
			d.log.Debug("tls handshake", "err", err)
			return nil, nil, refusedHandshake
		}
		if d.turn != nil && secure.ConnectionState().NegotiatedProtocol == alpnTURN {
			g.SetDeadline(time.Time{})
			return d.turn, &visitor{Conn: secure, guest: g}, ""
		}
		c = secure
	}

	first := make([]byte, 1)
	if _, err := io.ReadFull(c, first); err != nil {
		return nil, nil, refusedSilent
	}
	g.SetDeadline(time.Time{})
	v := &visitor{Conn: c, guest: g, first: first}
	if d.http == nil || d.turn != nil && first[0] <= maxSTUN {
		return d.turn, v, ""
	}
	return d.http, v, ""
}

// readIntroduction reads the PROXY header of a trusted proxy, and charges the client that it names.
func (d *door) readIntroduction(g *guest) refusal {
	client, err := readProxyHeader(g.Conn)
	if err != nil {
		d.log.Debug("read PROXY header", "err", err)
		return refusedProxy
	}
	if !client.IsValid() {
		client = addrPortOf(g.RemoteAddr()) // the proxy is itself the client
	}

	if err := g.rename(client); err != nil {
		return whyNoPlace(err)
	}
	if !d.places.chargeClient(addrPortOf(g.RemoteAddr()).Addr(), d.work()) {
		return refusedWork
	}
	return ""
}

// visitor is a connection that a branch hands out: TLS is removed, and the first byte has already been read.
type visitor struct {
	net.Conn
	guest *guest
	first []byte
}

// Read returns the first byte once more, and then the rest.
func (v *visitor) Read(p []byte) (int, error) {
	if len(v.first) == 0 || len(p) == 0 {
		return v.Conn.Read(p)
	}
	n := copy(p, v.first)
	v.first = v.first[n:]
	return n, nil
}

// NetConn returns the connection below TLS, which can be closed without blocking.
func (v *visitor) NetConn() net.Conn { return v.guest }

// Admit implements what TURN needs of a connection; see guest.
func (v *visitor) Admit(who netlimit.Payer) error { return v.guest.Admit(who) }

// Dismiss undoes Admit.
func (v *visitor) Dismiss() { v.guest.Dismiss() }
