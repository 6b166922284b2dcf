package relay

import (
	"cmp"
	"context"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/netip"

	"github.com/peephole-cam/peephole/netlimit"
	"github.com/peephole-cam/peephole/signaling/webtransport"
)

// webTransport is the UDP port of signaling over HTTP/3. As at a door, every connection takes a place and pays for its
// work, here as soon as its client has proven its address.
type webTransport struct {
	entrance
	*webtransport.Server
}

// openWebTransport opens the port, unless the Config rules it out. If the default port is taken, the relay goes on
// without one, and clients use the WebSocket.
func (r *Relay) openWebTransport() error {
	c := &r.cfg
	asked := c.WebTransport != ""
	if c.Certificate == nil || c.WebTransport == NoWebTransport {
		return nil
	}

	host, _, _ := net.SplitHostPort(c.Listen) // validated
	_, port, _ := net.SplitHostPort(r.main.Addr().String())
	at := cmp.Or(c.WebTransport, net.JoinHostPort(host, port))
	to, err := net.ResolveUDPAddr("udp", at)
	if err != nil {
		return &ListenError{Field: "WebTransport", Address: at, Err: err}
	}

	socket, err := net.ListenUDP("udp", to)
	if err != nil && asked {
		return &ListenError{Field: "WebTransport", Address: at, Err: err}
	}
	if err != nil { // most likely TURN has the port
		r.log.Info("signaling over WebSocket alone, because the UDP port cannot be had", "port", port, "err",
			errors.Unwrap(err))
		return nil
	}

	w := &webTransport{entrance: newEntrance("webtransport", r.places, r.log.With("part", "door"))}
	w.Server = webtransport.NewServer(socket, webtransport.ServerConfig{
		TLS:      r.certificate.config(),
		ResetKey: resetKey(r.certificate.current.Load()),
		Handler:  w.receive(r.webTransportHandler()),
		Admit:    w.admit,
		Logger:   w.log,
	})
	r.webTransport = w
	return nil
}

// Run serves until ctx ends. Without the port, the relay goes on.
func (w *webTransport) Run(ctx context.Context) error {
	if err := w.Server.Run(ctx); err != nil {
		w.log.Warn("signaling over WebSocket alone, because the UDP port has failed", "err", err)
	}
	<-ctx.Done()
	return nil
}

// webTransportHandler returns the handler of HTTP/3, which serves nothing but signaling.
func (r *Relay) webTransportHandler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("CONNECT "+webtransport.Path, r.signaling)
	return withHeaders(mux, r.cfg.hasTrustedTLS(r.url))
}

// admit takes a place for a connection, for which its client's address pays. No proxy introduces clients over QUIC.
func (w *webTransport) admit(ctx context.Context, client netip.AddrPort, hangUp func()) (any, error) {
	if !w.places.chargeClient(client.Addr(), workOfHTTP3) {
		w.refused[refusedWork].Add(1)
		return nil, netlimit.ErrShare
	}

	g, err := newGuest(caller{from: net.UDPAddrFromAddrPort(client), hangUp: hangUp}, w.places, w.places.strangers)
	if err != nil {
		w.refused[whyNoPlace(err)].Add(1)
		return nil, err
	}
	context.AfterFunc(ctx, func() { g.Close() })
	if w.places.proxies.trust(client.Addr()) { // which is a client here, with the share of one
		if err := g.rename(client); err != nil {
			w.refused[whyNoPlace(err)].Add(1)
			return nil, err
		}
	}
	return g, nil
}

// receive adds the guest to the one request of a connection, whose work is already paid for. It takes the client's
// address from the guest: headers could lie, and the connection may have moved since it was admitted.
func (w *webTransport) receive(next http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		g, ok := webtransport.Guest(r).(*guest)
		if !ok {
			rw.WriteHeader(http.StatusForbidden)
			return
		}
		r = r.WithContext(context.WithValue(r.Context(), guestKey{}, g))
		r.RemoteAddr = g.RemoteAddr().String()
		next.ServeHTTP(rw, r)
	})
}

// caller is a client's QUIC connection as a guest: it has an address and can be closed. Nothing reads from it.
type caller struct {
	net.Conn
	from   *net.UDPAddr
	hangUp func()
}

// RemoteAddr implements net.Conn.
func (c caller) RemoteAddr() net.Addr { return c.from }

// Close implements net.Conn.
func (c caller) Close() error {
	c.hangUp()
	return nil
}

const labelReset = "peephole relay stateless reset v1"

// resetKey derives a key from the certificate's private key, so that a restarted relay has the same one, and nobody
// else can make it.
func resetKey(cert *tls.Certificate) (key [32]byte) {
	secret, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil { // the key is in hardware
		rand.Read(key[:])
		return key
	}
	derived, err := hkdf.Key(sha256.New, secret, nil, labelReset, len(key))
	if err != nil {
		panic(err) // the length is constant
	}
	copy(key[:], derived)
	return key
}
