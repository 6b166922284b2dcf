package main

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// port is where relays listen.
const port = 4001

// config is what the command line says.
type config struct {
	hosts int           // how many of them an end has, one for each attempt
	wait  time.Duration // how long the viewer waits for a direct connection
	role  string
	rest  []string // a relay's number, or the addresses of all relays
}

var errUsage = errors.New("want [-hosts N] [-wait TIME] relay NUMBER, or camera or viewer and the relays' addresses")

func parseConfig(args []string) (c config, err error) {
	flags := flag.NewFlagSet("dcutr", flag.ContinueOnError)
	flags.IntVar(&c.hosts, "hosts", 1, "how many hosts an end has")
	flags.DurationVar(&c.wait, "wait", 10*time.Second, "how long the viewer waits for a direct connection")
	if err := flags.Parse(args); err != nil {
		return c, err
	}
	if flags.NArg() < 2 || c.hosts < 1 {
		return c, errUsage
	}
	c.role, c.rest = flags.Arg(0), flags.Args()[1:]
	return c, nil
}

func main() {
	trustDocumentation()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	c, err := parseConfig(os.Args[1:])
	if err == nil {
		err = run(ctx, c)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "dcutr:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, c config) error {
	if c.role == "relay" {
		number, err := strconv.Atoi(c.rest[0])
		if err != nil {
			return errUsage
		}
		return runRelay(ctx, number)
	}

	var relays []peer.AddrInfo
	for i, text := range c.rest {
		at, err := netip.ParseAddr(text)
		if err != nil {
			return fmt.Errorf("%w: %w", errUsage, err)
		}
		relays = append(relays, relayInfo(i, at))
	}
	switch c.role {
	case "camera":
		return runCamera(ctx, c.hosts, relays)
	case "viewer":
		return runViewer(ctx, c.hosts, c.wait, relays)
	}

	return errUsage
}

// trustDocumentation makes go-libp2p treat the lab's addresses as what they stand for. They are those of documentation,
// which it takes for unroutable: it would neither punch holes to them nor probe whether they can be reached.
func trustDocumentation() {
	lab := []string{"203.0.113.0/24", "198.51.100.0/24", "2001:db8::/32"}
	isLab := func(network fmt.Stringer) bool { return slices.Contains(lab, network.String()) }
	manet.Unroutable4 = slices.DeleteFunc(manet.Unroutable4, func(n *net.IPNet) bool { return isLab(n) })
	manet.Unroutable6 = slices.DeleteFunc(manet.Unroutable6, func(n *net.IPNet) bool { return isLab(n) })
}

// key returns the key that everybody knows by name, so that processes find each other without being told.
func key(name string, number int) crypto.PrivKey {
	seed := sha256.Sum256(fmt.Appendf(nil, "%s %d", name, number))
	k, err := crypto.UnmarshalEd25519PrivateKey(ed25519.NewKeyFromSeed(seed[:]))
	if err != nil {
		panic(err) // impossible: the key has just been made
	}
	return k
}

func peerID(name string, number int) peer.ID {
	id, err := peer.IDFromPrivateKey(key(name, number))
	if err != nil {
		panic(err) // impossible: the key is Ed25519
	}
	return id
}

// relayInfo returns how to reach a relay.
func relayInfo(number int, at netip.Addr) peer.AddrInfo {
	version := "ip4"
	if at.Is6() {
		version = "ip6"
	}
	text := fmt.Sprintf("/%s/%s/udp/%d/quic-v1", version, at, port)
	return peer.AddrInfo{ID: peerID("relay", number), Addrs: []ma.Multiaddr{ma.StringCast(text)}}
}

// words joins multiaddrs for a line of output.
func words(addresses []ma.Multiaddr) string {
	var out []string
	for _, a := range addresses {
		out = append(out, a.String())
	}
	return strings.Join(out, " ")
}
