package p2p

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"

	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
)

const (
	// maxRelays bounds the circuit relays of a camera, as a host list does.
	maxRelays = 8

	// maxRelayAddresses bounds the addresses of one relay that are tried.
	maxRelayAddresses = 4

	// maxRelayText bounds a relay's multiaddr, in bytes.
	maxRelayText = 512
)

// errRelay says what a relay's address looks like.
var errRelay = errors.New("a circuit relay is written /dns/HOST/udp/PORT/quic-v1/p2p/ID, or with /ip4/ADDRESS or " +
	"/ip6/ADDRESS instead of /dns/HOST")

// relayAddress is where a circuit relay is, and its host key's name.
type relayAddress struct {
	id      peer.ID
	host    string
	port    uint16
	network string // of net.Resolver.LookupNetIP: ip, ip4 or ip6
}

// CheckRelay returns nil if text is the multiaddr of a circuit relay that this package can use: one that speaks QUIC
// version 1, with its peer id.
func CheckRelay(text string) error {
	_, err := parseRelay(text)
	return err
}

func parseRelays(texts []string) (all []relayAddress, err error) {
	for _, text := range texts {
		r, err := parseRelay(text)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(all, r) {
			all = append(all, r)
		}
	}
	if len(all) > maxRelays {
		return nil, fmt.Errorf("%d circuit relays are too many: use %d at most", len(all), maxRelays)
	}
	return all, nil
}

func parseRelay(text string) (r relayAddress, err error) {
	if len(text) > maxRelayText {
		return r, errRelay
	}
	a, err := ma.NewMultiaddr(text)
	if err != nil {
		return r, fmt.Errorf("%w: %w", errRelay, err)
	}
	if len(a) != 4 || a[1].Protocol().Code != ma.P_UDP || a[2].Protocol().Code != ma.P_QUIC_V1 ||
		a[3].Protocol().Code != ma.P_P2P {
		return r, errRelay
	}

	r.host = a[0].Value()
	switch a[0].Protocol().Code {
	case ma.P_IP4, ma.P_IP6, ma.P_DNS:
		r.network = "ip"
	case ma.P_DNS4:
		r.network = "ip4"
	case ma.P_DNS6:
		r.network = "ip6"
	default:
		return relayAddress{}, errRelay
	}

	port, err := net.LookupPort("udp", a[1].Value())
	if err != nil || port == 0 {
		return relayAddress{}, errRelay
	}
	r.port = uint16(port)
	if r.id, err = peer.Decode(a[3].Value()); err != nil {
		return relayAddress{}, fmt.Errorf("%w: %w", errRelay, err)
	}
	return r, nil
}

// RelayAddress returns the multiaddr of a circuit relay with that host key, at a UDP port of a host. host is a name or
// an IP address.
func RelayAddress(host string, port uint16, key ed25519.PublicKey) (string, error) {
	ids, err := peerIDs([]ed25519.PublicKey{key})
	if err != nil {
		return "", err
	}
	return spellRelay(host, port, ids[0]), nil
}

func spellRelay(host string, port uint16, id peer.ID) string {
	kind := "dns"
	if ip, err := netip.ParseAddr(host); err == nil {
		kind = "ip4"
		if ip.Is6() {
			kind = "ip6"
		}
	}
	return fmt.Sprintf("/%s/%s/udp/%d/quic-v1/p2p/%s", kind, host, port, id)
}

// STUNURLs returns the circuit relays as STUN servers (RFC 7064), since ours answer Binding requests at the same port.
// Others do not answer at all. It leaves out relays that CheckRelay refuses.
func STUNURLs(relays []string) (urls []string) {
	for _, text := range relays {
		if r, err := parseRelay(text); err == nil && len(urls) < maxRelays {
			urls = append(urls, "stun:"+net.JoinHostPort(r.host, strconv.Itoa(int(r.port))))
		}
	}
	return urls
}

// addresses returns the addresses of the relay, as the system's resolver knows them.
func (r relayAddress) addresses(ctx context.Context) (all []netip.AddrPort, err error) {
	found, err := net.DefaultResolver.LookupNetIP(ctx, r.network, r.host)
	if err != nil {
		return nil, fmt.Errorf("look up circuit relay: %w", err)
	}
	for _, ip := range found[:min(len(found), maxRelayAddresses)] {
		all = append(all, netip.AddrPortFrom(ip.Unmap(), r.port))
	}
	return all, nil
}
