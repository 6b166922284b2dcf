package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/holepunch"
	quic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	ma "github.com/multiformats/go-multiaddr"
)

const (
	// tick is a little more than the period with which a host looks at its addresses again (addrChangeTickrInterval).
	tick = 6 * time.Second
	// patience is for hosts that cannot find out which of their addresses are reachable. AutoNAT takes up to 10 s to
	// see that one is not.
	patience = 30 * time.Second
	// firstPatience is for a first connection on a busy machine, where QUIC gives up a handshake after 5 s.
	firstPatience = 15 * time.Second
)

// confirming is what go-libp2p's host knows by AutoNAT.
type confirming interface {
	ConfirmedAddrs() (reachable, unreachable, unknown []ma.Multiaddr)
}

// an end has a host for each attempt, and an identity for each host.
type end []host.Host

func newEnd(identities []crypto.PrivKey) (e end, err error) {
	for _, k := range identities {
		h, err := libp2p.New(
			libp2p.Identity(k),
			libp2p.Transport(quic.NewTransport),
			libp2p.ListenAddrStrings("/ip4/0.0.0.0/udp/0/quic-v1", "/ip6/::/udp/0/quic-v1"),
			libp2p.EnableHolePunching(holepunch.WithTracer(narrator{})),
			libp2p.EnableAutoNATv2(),
			libp2p.DisableMetrics(),
		)
		if err != nil {
			e.close()
			return nil, fmt.Errorf("start host: %w", err)
		}
		e = append(e, h)
	}
	return e, nil
}

func (e end) close() {
	for _, h := range e {
		h.Close()
	}
}

// connect connects every host to every relay, and prints whether it could: it cannot where no UDP gets out. Then it
// waits until the hosts know their addresses, and prints them.
func (e end) connect(ctx context.Context, relays []peer.AddrInfo) error {
	var all sync.WaitGroup
	errs := make(chan error, len(e)*len(relays))
	for _, h := range e {
		for _, r := range relays {
			all.Go(func() { errs <- reach(ctx, h, r) })
		}
	}
	all.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			fmt.Println("connected no")
			return fmt.Errorf("connect to relay: %w", err)
		}
	}

	fmt.Println("connected yes")
	began := time.Now()
	e.settle(ctx)
	fmt.Printf("settled %.1f s", time.Since(began).Seconds())
	for _, h := range e {
		reachable, unreachable, unknown := h.(confirming).ConfirmedAddrs()
		fmt.Printf("; reachable %s, unreachable %s, unknown %s", words(reachable), words(unreachable), words(unknown))
	}
	fmt.Println()
	return nil
}

// reach connects a host to a relay, and tries again if that fails.
func reach(ctx context.Context, h host.Host, relay peer.AddrInfo) error {
	ctx, cancel := context.WithTimeout(ctx, firstPatience)
	defer cancel()
	again := time.NewTicker(time.Second)
	defer again.Stop()
	for {
		err := h.Connect(ctx, relay)
		if err == nil {
			return nil
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return err
		}
	}
}

// settle waits until every host has looked at its addresses since it was identified, knows which of them are reachable,
// and punches holes.
func (e end) settle(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	looked := time.After(tick)
	look := time.NewTicker(tick / 60)
	defer look.Stop()
	select {
	case <-looked:
	case <-ctx.Done():
	}

	for slices.ContainsFunc(e, settling) {
		select {
		case <-look.C:
		case <-ctx.Done():
			return
		}
	}
}

func settling(h host.Host) bool {
	_, _, unknown := h.(confirming).ConfirmedAddrs()
	return len(unknown) > 0 || !slices.Contains(h.Mux().Protocols(), holepunch.Protocol)
}

// narrator writes what DCUtR does to standard error, where tests that fail show it.
type narrator struct{}

func (narrator) Trace(e *holepunch.Event) {
	if line, err := json.Marshal(e); err == nil {
		fmt.Fprintf(os.Stderr, "%s %s\n", time.Now().Format("05.000"), line)
	}
}
