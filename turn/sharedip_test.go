package turn

import "testing"

// allocateAt allocates at the relayed address with this number, if it is free.
func (c *client) allocateAt(s *Server, number uint32) {
	c.t.Helper()
	s.relay.mu.Lock()
	s.relay.last = (number + MaxAddresses - 1) % MaxAddresses
	s.relay.mu.Unlock()
	if code := c.allocate(); code != 0 {
		c.t.Fatalf("allocate: %d", code)
	}
}

// TestPacketsFindTheirPortAtASharedIP: four allocations share one IP. Two belong to a session's viewer, one to its
// camera, and one to a stranger. The camera's permission for that IP is for both viewers and nobody else, and packets
// go to and come from the right port.
func TestPacketsFindTheirPortAtASharedIP(t *testing.T) {
	const ips = MaxAddresses / relayedPorts
	for _, over := range []string{"udp", "tcp"} {
		t.Run(over, func(t *testing.T) {
			s := serve(t, Config{})
			g := grant(t, s.config.Keys)
			cam, one, two := dial(t, s, over, g.Camera), dial(t, s, over, g.Viewer), dial(t, s, over, g.Viewer)
			stranger := dial(t, s, over, grant(t, s.config.Keys).Viewer)
			for i, c := range []*client{cam, one, stranger, two} {
				c.allocateAt(s, 7+uint32(i+1)*ips)
				if c.relayed.String() == cam.relayed.String() != (c == cam) || !c.relayed.IP.Equal(cam.relayed.IP) {
					t.Fatalf("client %d has %v, the camera %v", i, c.relayed, cam.relayed)
				}
			}

			for _, c := range []*client{cam, one, two} {
				if code := c.permit(peerAt(cam.relayed)); code != 0 {
					t.Fatalf("permission: %d", code)
				}
			}

			if code := stranger.permit(peerAt(cam.relayed)); code != 403 {
				t.Errorf("a stranger's permission for the same IP: %d", code)
			}
			for i, c := range []*client{one, two} {
				if code := cam.bind(0x4000+uint16(i), peerAt(c.relayed)); code != 0 {
					t.Fatalf("channel: %d", code)
				}
			}

			for name, peer := range map[string]*client{"a stranger": stranger, "itself": cam} {
				if code := cam.bind(0x4010, peerAt(peer.relayed)); code != 403 {
					t.Errorf("a channel to %s: %d", name, code)
				}
				cam.send(peerAt(peer.relayed), "out")
			}

			for i, c := range []*client{one, two} {
				cam.send(peerAt(c.relayed), "picture")
				cam.sendChannel(0x4000+uint16(i), "more")
				for _, want := range []string{"picture", "more"} {
					if got := c.receive(); got != (received{from: cam.relayed.String(), data: want}) {
						t.Errorf("viewer %d got %+v, want %q", i, got, want)
					}
				}

				c.send(peerAt(cam.relayed), "answer")
				if got := cam.receive(); got != (received{channel: 0x4000 + uint16(i), data: "answer"}) {
					t.Errorf("camera got %+v from viewer %d", got, i)
				}
			}

			if n := s.Stats(); n.Drops["not_peer"] != 2 {
				t.Errorf("%+v", n)
			}
			for i, c := range []*client{one, two} {
				if code := c.refresh(0); code != 0 {
					t.Fatalf("delete: %d", code)
				}
				if code, want := cam.permit(peerAt(one.relayed)), 403*i; code != want {
					t.Errorf("permission for an IP of %d viewers: %d, want %d", 1-i, code, want)
				}
			}
		})
	}
}
