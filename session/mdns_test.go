package session

import (
	"net"
	"testing"

	"github.com/pion/transport/v5"
	"github.com/pion/transport/v5/stdnet"

	"github.com/peephole-cam/peephole/media"
)

// multicasts is a network that records the addresses at which UDP sockets are opened.
type multicasts struct {
	transport.Net
	at chan *net.UDPAddr
}

func (o multicasts) ListenUDP(network string, at *net.UDPAddr) (transport.UDPConn, error) {
	select {
	case o.at <- at:
	default:
	}
	return o.Net.ListenUDP(network, at)
}

// TestHiddenAsksNoNames: an end that hides its address opens no socket, for multicast DNS or for anything else.
func TestHiddenAsksNoNames(t *testing.T) {
	n, err := stdnet.NewNet()
	if err != nil {
		t.Fatal(err)
	}
	o := multicasts{n, make(chan *net.UDPAddr, 64)}
	p, err := newPeer(t.Context(), peerConfig{
		carriers:  []media.Carrier{media.VP8Carrier},
		relayOnly: true,
		network:   o,
		log:       quiet(),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer p.pc.Close()

	offer, err := p.pc.CreateOffer(nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.pc.SetLocalDescription(offer); err != nil {
		t.Fatal(err)
	}

	select {
	case at := <-o.at:
		t.Errorf("opened a socket at %v", at)
	default:
	}
}
