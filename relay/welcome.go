package relay

import (
	"context"
	"net"
	"net/http"
	"net/netip"

	"github.com/peephole-cam/peephole/netlimit"
)

type guestKey struct{}

// withGuest is http.Server's ConnContext. It adds what handlers need to know about a request's connection.
func withGuest(ctx context.Context, c net.Conn) context.Context {
	g, err := guestOf(c)
	if err != nil {
		return ctx
	}
	return context.WithValue(ctx, guestKey{}, g)
}

// guestIn returns the connection of a request, or nil if it did not come through a door.
func guestIn(ctx context.Context) *guest {
	g, _ := ctx.Value(guestKey{}).(*guest)
	return g
}

// placeOf is the signaling server's Place.
func placeOf(r *http.Request) func(netlimit.Payer) error {
	if g := guestIn(r.Context()); g != nil {
		return g.Admit
	}
	return nil
}

// welcome charges each request to its client, which trusted proxies may name, and lets next serve it under that
// address.
func (d *door) welcome(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if status, why := d.identify(r); why != "" {
			d.refused[why].Add(1)
			w.Header().Set("Connection", "close")
			http.Error(w, http.StatusText(status), status)
			return
		}

		if g := guestIn(r.Context()); g != nil && g.isOld() {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}

// identify sets a request's RemoteAddr to its client's, or returns why to refuse the client.
func (d *door) identify(r *http.Request) (status int, why refusal) {
	if r.ContentLength != 0 {
		return http.StatusRequestEntityTooLarge, refusedBody
	}
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return http.StatusBadRequest, refusedProxy
	}

	from := peer.Addr().Unmap()
	client, err := d.places.proxies.client(from, r.Header)
	if err != nil {
		d.log.Debug("read header of proxies", "err", err)
		return http.StatusBadRequest, refusedProxy
	}

	if d.places.proxies.trust(from) {
		at := peer
		if client != from {
			at = netip.AddrPortFrom(client, 0)
		}
		if g := guestIn(r.Context()); g != nil {
			if err := g.rename(at); err != nil {
				return http.StatusTooManyRequests, whyNoPlace(err)
			}
		}
		r.RemoteAddr = at.String()
	}

	if !d.places.chargeClient(client, 1) {
		return http.StatusTooManyRequests, refusedWork
	}
	return 0, ""
}
