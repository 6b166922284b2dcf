package p2p

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/peephole-cam/peephole/nat"
)

// errOffLink is returned for an address that is not on a network of this machine's own.
var errOffLink = errors.New("the address is not on a link of this machine")

const (
	// maxLinks bounds the interfaces that are asked and announced on. A machine may have sixty for its containers; the
	// first ones are those that it was made with.
	maxLinks = 32

	// linksAge is how old the list of this machine's addresses may get before it is read again for a stranger's packet.
	linksAge = time.Second
)

// link is an interface on which mDNS makes sense, and its addresses.
type link struct {
	device    net.Interface
	addresses []netip.Prefix
}

// holds reports whether an address is on the link. An IPv6 link-local address is on the link of its zone.
func (l link) holds(a netip.Addr) bool {
	if zone := a.Zone(); zone != "" && zone != l.device.Name {
		return false
	}
	a = a.Unmap().WithZone("")
	return slices.ContainsFunc(l.addresses, func(p netip.Prefix) bool { return p.Contains(a) })
}

// multicastLinks returns the links on which mDNS makes sense: they run, they are no loopback and no tunnel.
func multicastLinks() ([]link, error) {
	all, err := nat.DeviceAddresses()
	if err != nil {
		return nil, err
	}

	var found []link
	const needed, excluded = net.FlagUp | net.FlagRunning | net.FlagMulticast, net.FlagLoopback | net.FlagPointToPoint
	for _, a := range all {
		if a.Device.Flags&needed != needed || a.Device.Flags&excluded != 0 {
			continue
		}
		i := slices.IndexFunc(found, func(l link) bool { return l.device.Index == a.Device.Index })
		if i < 0 {
			i = len(found)
			found = append(found, link{device: a.Device})
		}
		found[i].addresses = append(found[i].addresses, a.Prefix)
	}

	slices.SortFunc(found, func(a, b link) int { return a.device.Index - b.device.Index })
	return found[:min(len(found), maxLinks)], nil
}

// links knows which addresses are on this machine's links.
type links struct {
	mu       sync.Mutex
	prefixes []netip.Prefix // guarded by mu
	read     time.Time      // guarded by mu
}

// has reports whether an address is this machine's or on one of its links. It reads the machine's addresses again when
// they are old, but not for every stranger.
func (l *links) has(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	if a.IsLoopback() || a.IsLinkLocalUnicast() {
		return true
	}

	l.mu.Lock()
	defer l.mu.Unlock()
	if time.Since(l.read) >= linksAge {
		l.read = time.Now()
		if all, err := nat.DeviceAddresses(); err == nil {
			l.prefixes = l.prefixes[:0]
			for _, d := range all {
				l.prefixes = append(l.prefixes, d.Prefix)
			}
		}
	}
	return slices.ContainsFunc(l.prefixes, func(p netip.Prefix) bool { return p.Contains(a) })
}

// linkGate admits connections from this machine's links only.
type linkGate struct {
	links     links
	admission *admission
}

func (g *linkGate) admit(from netip.Addr) (release func(), value any, err error) {
	if !g.links.has(from) {
		return nil, nil, errOffLink
	}
	s, err := g.admission.admitAddress(from)
	if err != nil {
		return nil, nil, err
	}
	return s.release, s, nil
}

func (g *linkGate) size() (conns int, windows int64) { return maxUnproven + maxProven, maxWindows }

func (g *linkGate) pressed() bool { return g.admission.pressed() }
