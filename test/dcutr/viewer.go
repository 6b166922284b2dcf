package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
)

// runViewer dials the camera once for every line of input, each time from another host to another.
func runViewer(ctx context.Context, hosts int, wait time.Duration, relays []peer.AddrInfo) error {
	var identities []crypto.PrivKey
	for range hosts {
		k, _, err := crypto.GenerateEd25519Key(rand.Reader)
		if err != nil {
			return err
		}
		identities = append(identities, k)
	}
	e, err := newEnd(identities)
	if err != nil {
		return err
	}
	defer e.close()

	if err := e.connect(ctx, relays); err != nil {
		return err
	}
	fmt.Println("ready")
	input := lines(ctx)
	for i, h := range e {
		select {
		case <-input:
			fmt.Println("tried", attempt(ctx, h, wait, relays[0], peerID("camera", i)))
		case <-ctx.Done():
			return nil
		}
	}

	<-ctx.Done()
	return nil
}

// lines has an element for every line of input.
func lines(ctx context.Context) <-chan struct{} {
	c := make(chan struct{})
	go func() {
		for input := bufio.NewScanner(os.Stdin); input.Scan(); {
			select {
			case c <- struct{}{}:
			case <-ctx.Done():
				return
			}
		}
	}()
	return c
}

// attempt dials a camera through a relay and waits for a direct connection. It returns "direct", how many milliseconds
// after the dial's beginning it stood, and to where; or "relayed", or "failed", and why.
func attempt(ctx context.Context, h host.Host, wait time.Duration, relay peer.AddrInfo, camera peer.ID) string {
	type arrival struct {
		at   time.Time
		conn network.Conn
	}
	direct := make(chan arrival, 1)
	h.Network().Notify(&network.NotifyBundle{ConnectedF: func(_ network.Network, c network.Conn) {
		if c.RemotePeer() != camera || !isDirect(c) {
			return
		}
		select {
		case direct <- arrival{time.Now(), c}:
		default:
		}
	}})

	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	circuit := ma.StringCast(fmt.Sprintf("%s/p2p/%s/p2p-circuit", relay.Addrs[0], relay.ID))
	began := time.Now()
	if err := h.Connect(ctx, peer.AddrInfo{ID: camera, Addrs: []ma.Multiaddr{circuit}}); err != nil {
		return fmt.Sprintf("failed %q", err)
	}
	relayed := milliseconds(time.Since(began))

	select {
	case a := <-direct:
		took := milliseconds(a.at.Sub(began))
		return fmt.Sprintf("direct %.1f %s, relayed after %.1f", took, a.conn.RemoteMultiaddr(), relayed)
	case <-ctx.Done():
		return fmt.Sprintf("relayed after %.1f", relayed)
	}
}

// isDirect reports whether no relay carries a connection.
func isDirect(c network.Conn) bool {
	_, err := c.RemoteMultiaddr().ValueForProtocol(ma.P_CIRCUIT)
	return err != nil && !c.Stat().Limited
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
