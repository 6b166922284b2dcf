package relay

import (
	"context"
	"net"
	"net/netip"
	"sync"

	"github.com/peephole-cam/peephole/p2p"
)

// openCircuits opens the circuit relay, if the Config asks for one.
func (r *Relay) openCircuits() error {
	c := &r.cfg
	if c.P2P == "" {
		return nil
	}
	at, err := net.ResolveUDPAddr("udp", c.P2P)
	if err != nil {
		return &ListenError{Field: "P2P", Address: c.P2P, Err: err}
	}
	key, err := c.P2PKey()
	if err != nil {
		return err
	}

	listen := at.AddrPort()
	if !listen.Addr().IsValid() { // :PORT
		listen = netip.AddrPortFrom(netip.IPv6Unspecified(), listen.Port())
	}
	r.circuits, err = p2p.ListenRelay(p2p.RelayConfig{
		Address: listen,
		Key:     key,
		Logger:  r.log.With("part", "circuits"),
	})
	if err != nil {
		return &ListenError{Field: "P2P", Address: c.P2P, Err: err}
	}
	return nil
}

// runCircuits serves circuits until ctx ends, and STUN at the same port: where it stands in for a relay that is gone,
// it also tells both ends their addresses.
func (r *Relay) runCircuits(ctx context.Context) error {
	var answering sync.WaitGroup
	defer answering.Wait()
	answering.Go(func() { r.turn.server.AnswerBindings(r.circuits.NotQUIC()) })

	if err := r.circuits.Run(ctx); ctx.Err() == nil {
		return err
	}
	return nil
}

// P2PAddress returns the multiaddress of the relay's circuit relay, as cameras want it: at PublicURL's host. It returns
// "" if there is none.
func (r *Relay) P2PAddress() string {
	if r.circuits == nil {
		return ""
	}
	return r.circuits.AddressAt(hostname(r.url))
}
