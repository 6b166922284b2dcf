package main

import (
	"context"
	"fmt"

	"github.com/libp2p/go-libp2p"
	quic "github.com/libp2p/go-libp2p/p2p/transport/quic"
)

// runRelay is a circuit relay and an AutoNAT server, and tells everybody which address it sees, as every host does.
func runRelay(ctx context.Context, number int) error {
	h, err := libp2p.New(
		libp2p.Identity(key("relay", number)),
		libp2p.Transport(quic.NewTransport),
		libp2p.ListenAddrStrings(
			fmt.Sprintf("/ip4/0.0.0.0/udp/%d/quic-v1", port),
			fmt.Sprintf("/ip6/::/udp/%d/quic-v1", port),
		),
		libp2p.EnableRelayService(),
		libp2p.EnableNATService(),
		libp2p.EnableAutoNATv2(),
		libp2p.ForceReachabilityPublic(),
		// Like every host, it would dial for AutoNAT only after it had dialled others itself, and seen UDP get out.
		libp2p.UDPBlackHoleSuccessCounter(nil),
		libp2p.IPv6BlackHoleSuccessCounter(nil),
		libp2p.DisableMetrics(),
	)
	if err != nil {
		return fmt.Errorf("start relay: %w", err)
	}
	defer h.Close()

	fmt.Println("ready", h.ID())
	<-ctx.Done()
	return nil
}
