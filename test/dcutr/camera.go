package main

import (
	"context"
	"fmt"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/client"
)

// runCamera waits for viewers at the first relay.
func runCamera(ctx context.Context, hosts int, relays []peer.AddrInfo) error {
	var identities []crypto.PrivKey
	for i := range hosts {
		identities = append(identities, key("camera", i))
	}
	e, err := newEnd(identities)
	if err != nil {
		return err
	}
	defer e.close()

	if err := e.connect(ctx, relays); err != nil {
		return err
	}
	for _, h := range e {
		if _, err := client.Reserve(ctx, h, relays[0]); err != nil {
			return fmt.Errorf("reserve: %w", err)
		}
	}

	fmt.Println("ready")
	<-ctx.Done()
	return nil
}
