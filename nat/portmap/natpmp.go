package portmap

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"

	natpmp "github.com/jackpal/go-nat-pmp"
)

// pmp is a router that may speak NAT-PMP.
type pmp struct{ route route }

func openNATPMP(_ context.Context, r route) (protocol, error) { return pmp{r}, nil }

// client returns a client that gives up when ctx ends; the library itself knows no contexts.
func (p pmp) client(ctx context.Context) (*natpmp.Client, error) {
	deadline, ok := ctx.Deadline()
	if !ok || ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}

	ip := func(a netip.Addr) net.IP { return a.AsSlice() }
	timeout := max(time.Until(deadline), time.Millisecond)
	return natpmp.NewClientWithLocalAndTimeout(ip(p.route.gateway), ip(p.route.local), timeout), nil
}

func (p pmp) grant(ctx context.Context, m *mapping) (lease, error) {
	c, err := p.client(ctx)
	if err != nil {
		return lease{}, err
	}
	address, err := c.GetExternalAddress()
	if err != nil {
		return lease{}, fmt.Errorf("ask for outside address: %w", err)
	}

	if c, err = p.client(ctx); err != nil {
		return lease{}, err
	}
	port := m.inside.Port()
	if m.outside.IsValid() {
		port = m.outside.Port()
	}

	granted, err := c.AddPortMappingWithDuration("udp", int(m.inside.Port()), int(port), lifetime)
	if err != nil {
		return lease{}, fmt.Errorf("ask for port: %w", err)
	}

	l := lease{
		outside: netip.AddrPortFrom(netip.AddrFrom4(address.ExternalIPAddress), granted.MappedExternalPort),
		life:    time.Duration(granted.PortMappingLifetimeInSeconds) * time.Second,
	}
	if granted.InternalPort != m.inside.Port() || l.life <= 0 || l.outside.Port() == 0 {
		return lease{}, fmt.Errorf("ask for port: another one was granted: %w", ErrRefused)
	}
	return l, nil
}

func (p pmp) release(ctx context.Context, m *mapping) error {
	c, err := p.client(ctx)
	if err != nil {
		return err
	}
	_, err = c.AddPortMapping("udp", int(m.inside.Port()), 0, 0)
	return err
}
