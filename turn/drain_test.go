package turn

import (
	"context"
	"errors"
	"net/netip"
	"testing"

	"github.com/pion/stun/v3"
)

// TestDrainKeepsLivingAllocations: a server that drains refuses new clients and tells them where to go, keeps those
// that it has, and is done when they have left.
func TestDrainKeepsLivingAllocations(t *testing.T) {
	here, there := netip.MustParseAddrPort("192.0.2.1:3478"), netip.MustParseAddrPort("[2001:db8::1]:3478")
	for name, row := range map[string]struct {
		alternates []netip.AddrPort
		code       int
	}{
		"somewhere":                     {[]netip.AddrPort{there, here}, 300},
		"nowhere":                       {nil, 508},
		"nowhere that IPv4 could reach": {[]netip.AddrPort{there}, 508},
	} {
		for _, over := range []string{"udp", "tcp"} {
			t.Run(name+" over "+over, func(t *testing.T) {
				s := serve(t, Config{})
				cam, view := pair(t, s, over, over)
				stopped, stop := context.WithCancel(t.Context())
				stop()
				if err := s.Drain(stopped, row.alternates...); !errors.Is(err, context.Canceled) || !s.Draining() {
					t.Fatalf("Drain with clients: %v", err)
				}

				late := dial(t, s, over, grant(t, s.config.Keys).Camera)
				m, code := late.ask(stun.MethodAllocate, wantUDP)
				var to stun.MappedAddress
				err := to.GetFromAs(m, stun.AttrAlternateServer)
				redirects := err == nil && to.String() == here.String()
				if code != row.code || redirects != (code == 300) || redirects != (err == nil) {
					t.Errorf("allocate: %d, to %v, %v", code, to, err)
				}

				if code == 300 {
					key := stun.NewLongTermIntegrity(late.cred.Username, late.realm, late.cred.Password)
					if err := key.Check(m); err != nil {
						t.Errorf("the redirection is not authenticated: %v", err)
					}
				}

				if code := cam.refresh(60); code != 0 {
					t.Errorf("refresh: %d", code)
				}
				if code := view.permit(peerAt(cam.relayed)); code != 0 {
					t.Fatal(code)
				}
				if code := cam.permit(peerAt(view.relayed)); code != 0 {
					t.Fatal(code)
				}

				cam.send(peerAt(view.relayed), "still here")
				if got := view.receive(); got.data != "still here" {
					t.Errorf("got %q", got.data)
				}
				done := make(chan error, 1)
				go func() { done <- s.Drain(t.Context()) }()

				for _, c := range []*client{cam, view} {
					select {
					case err := <-done:
						t.Fatalf("Drain returned with %d clients: %v", s.Stats().Allocations, err)
					default:
					}
					if code := c.refresh(0); code != 0 {
						t.Errorf("end: %d", code)
					}
				}

				if err := <-done; err != nil {
					t.Errorf("Drain: %v", err)
				}
				if n := s.Stats().Refusals["draining"]; n != 1 {
					t.Errorf("%d refusals were counted", n)
				}
			})
		}
	}
}

func TestDrainWithoutClientsEndsAtOnce(t *testing.T) {
	if err := serve(t, Config{}).Drain(t.Context()); err != nil {
		t.Error(err)
	}
}
