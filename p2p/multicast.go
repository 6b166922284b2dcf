package p2p

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// The groups of mDNS (RFC 6762, section 3).
var (
	group4 = &net.UDPAddr{IP: net.IPv4(224, 0, 0, 251), Port: 5353}
	group6 = &net.UDPAddr{IP: net.ParseIP("ff02::fb"), Port: 5353}
)

// maxFailures is how many times in a row a socket may fail to receive before it counts as broken.
const maxFailures = 16

// errNoLink is returned where there is no link to send on.
var errNoLink = errors.New("no network that carries multicast")

// errBroken is returned when a socket no longer receives.
var errBroken = errors.New("mDNS no longer works")

// multicast sends to and receives from the groups of mDNS on some links. It has one socket for each version of IP,
// since each socket wakes for every message on every link.
type multicast struct {
	links []link
	four  *ipv4.PacketConn // nil if no link has IPv4
	six   *ipv6.PacketConn // nil if no link has IPv6

	sending sync.Mutex // held from choosing the link to having sent
	conns   []*net.UDPConn
	readers sync.WaitGroup

	works context.Context // ends when a socket no longer works
	fail  context.CancelFunc
}

// received is a message and where it came from: an address on one of the links.
type received struct {
	link    link
	from    netip.Addr
	message []byte
}

// family returns the version of IP that a message came by.
func (r received) family() string {
	if r.from.Is4() {
		return "udp4"
	}
	return "udp6"
}

// openMulticast joins the groups on all links that make sense. It fails if it can on none.
func openMulticast(ctx context.Context) (*multicast, error) {
	on, err := multicastLinks()
	if err != nil {
		return nil, err
	}

	m := &multicast{links: on}
	m.works, m.fail = context.WithCancel(ctx)
	var failed error
	for i := range on {
		device := &on[i].device
		for _, family := range families(on[i]) {
			if err := m.join(device, family); err != nil {
				failed = errors.Join(failed, fmt.Errorf("join mDNS on %s: %w", device.Name, err))
			}
		}
	}
	if len(m.conns) > 0 {
		return m, nil
	}
	m.fail()
	return nil, errors.Join(errNoLink, failed)
}

// families returns the versions of IP that a link has addresses of.
func families(l link) (all []string) {
	var has4, has6 bool
	for _, p := range l.addresses {
		has4 = has4 || p.Addr().Is4()
		has6 = has6 || p.Addr().Is6()
	}
	if has4 {
		all = append(all, "udp4")
	}
	if has6 {
		all = append(all, "udp6")
	}
	return all
}

// join joins a group on one more link. The first link opens the family's socket; net.ListenMulticastUDP lets other
// programs use the port too.
func (m *multicast) join(device *net.Interface, family string) error {
	switch {
	case family == "udp4" && m.four != nil:
		return m.four.JoinGroup(device, group4)
	case family == "udp6" && m.six != nil:
		return m.six.JoinGroup(device, group6)
	case family == "udp4":
		conn, err := net.ListenMulticastUDP(family, device, group4)
		if err != nil {
			return err
		}
		m.conns, m.four = append(m.conns, conn), ipv4.NewPacketConn(conn)
		// A camera and a viewer may be on one machine. 255 is what RFC 6762, section 11, wants.
		return errors.Join(m.four.SetMulticastLoopback(true), m.four.SetMulticastTTL(255))
	}

	conn, err := net.ListenMulticastUDP(family, device, group6)
	if err != nil {
		return err
	}
	m.conns, m.six = append(m.conns, conn), ipv6.NewPacketConn(conn)
	return errors.Join(m.six.SetMulticastLoopback(true), m.six.SetMulticastHopLimit(255))
}

// sendAll sends a message to everybody on a link, by both versions of IP if it has both.
func (m *multicast) sendAll(on link, message []byte) (failed error) {
	for _, family := range families(on) {
		failed = errors.Join(failed, m.send(on, family, message))
	}
	return failed
}

// send sends a message to everybody on a link, by one version of IP.
func (m *multicast) send(on link, family string, message []byte) (err error) {
	m.sending.Lock()
	defer m.sending.Unlock()
	switch {
	case family == "udp4" && m.four != nil:
		if err = m.four.SetMulticastInterface(&on.device); err == nil {
			_, err = m.four.WriteTo(message, nil, group4)
		}
	case family == "udp6" && m.six != nil:
		if err = m.six.SetMulticastInterface(&on.device); err == nil {
			_, err = m.six.WriteTo(message, nil, group6)
		}
	}

	if err != nil {
		return fmt.Errorf("send mDNS on %s: %w", on.device.Name, err)
	}
	return nil
}

// receive calls got for every message from an address on a link, one at a time for each version of IP, until close.
// Messages from elsewhere are dropped (RFC 6762, section 11).
func (m *multicast) receive(got func(received)) {
	for _, conn := range m.conns {
		m.readers.Go(func() { m.read(conn, got) })
	}
}

func (m *multicast) read(conn *net.UDPConn, got func(received)) {
	buffer := make([]byte, maxMessage+1)
	for failures := 0; ; {
		n, from, err := conn.ReadFromUDPAddrPort(buffer)
		if err == nil {
			failures = 0
		} else if failures++; failures > maxFailures || errors.Is(err, net.ErrClosed) {
			m.fail()
			return
		}
		if err != nil || n > maxMessage {
			continue // for a message that is longer than ours get, Windows returns an error
		}
		for _, l := range m.links {
			if a := from.Addr().Unmap(); l.holds(a) {
				got(received{l, a, buffer[:n]})
			}
		}
	}
}

// close leaves the groups and waits until nothing is received any more.
func (m *multicast) close() {
	m.fail()
	for _, c := range m.conns {
		_ = c.Close()
	}
	m.readers.Wait()
}
