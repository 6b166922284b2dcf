//go:build linux

package natlab

import (
	"bytes"
	"net/netip"
	"slices"
	"testing"
	"time"
)

// carrying returns the packets whose data holds the text.
func carrying(packets []Packet, text string) (out []Packet) {
	for _, p := range packets {
		if bytes.Contains(p.Data, []byte(text)) {
			out = append(out, p)
		}
	}
	return out
}

// A packet is recorded where it passed, with the addresses that it had there, and nowhere else; on the line it is
// recorded even if it was lost.
func TestPacketIsRecordedWhereItPassed(t *testing.T) {
	t.Parallel()
	lab := New(t)
	public, h := lab.Public("public"), lab.Behind("host", CarrierGrade)
	wan, err := h.network.router.capture(lab)
	if err != nil {
		t.Fatal(err)
	}

	atHost, onLine, there := h.Record(), h.Network().Record(), public.Record()
	from, to := newSocket(t, h, "udp4"), newSocket(t, public, "udp4")
	from.send(t, to.local(), "one way")
	heard := <-to.heard
	to.send(t, heard.from, "and back")
	<-from.heard
	h.Network().Impair(Quality{Loss: 1}, Quality{})
	from.send(t, to.local(), "lost later")
	eventually(t, "a packet is lost", func() bool { up, _ := h.Network().Counts(); return up.Lost == 1 })

	subscriber, outside := netip.MustParseAddr("100.64.0.2"), h.Network().Outside()
	for _, tt := range []struct {
		name, text string
		recording  *Recording
		out        bool
		here       []netip.Addr // the host's address at each device that the packet passed, in order
	}{
		{"host", "one way", atHost, true, []netip.Addr{h.IPv4()}},
		{"router", "one way", wan.into, true, []netip.Addr{h.IPv4(), h.IPv4(), subscriber}},
		{"line", "one way", onLine, true, []netip.Addr{outside}},
		{"there", "one way", there, false, []netip.Addr{outside}},
		{"host", "and back", atHost, false, []netip.Addr{h.IPv4()}},
		{"line", "and back", onLine, false, []netip.Addr{outside}},
		{"there", "and back", there, true, []netip.Addr{outside}},
		{"line", "lost later", onLine, true, []netip.Addr{outside}},
		{"there", "lost later", there, true, nil},
	} {
		var here []netip.Addr
		for _, p := range carrying(tt.recording.Packets(), tt.text) {
			own, other := p.Src, p.Dst
			if tt.text == "and back" {
				own, other = other, own
			}
			here = append(here, own.Addr())
			if other != to.local() || p.Protocol != UDP || time.Since(p.At) > time.Hour ||
				len(p.Data) != 28+len(tt.text) {
				t.Errorf("%s, %q: %+v", tt.name, tt.text, p)
			}

			if tt.name != "router" && p.Out != tt.out {
				t.Errorf("%s, %q: recorded as outgoing: %v", tt.name, tt.text, p.Out)
			}
		}

		if !slices.Equal(here, tt.here) {
			t.Errorf("%s, %q: recorded with %v, want %v", tt.name, tt.text, here, tt.here)
		}
	}
}

// A host's recording continues when the host moves, and a recording without room says so.
func TestRecordingGoesOn(t *testing.T) {
	t.Parallel()
	lab := New(t)
	public, h := lab.Public("public"), lab.Behind("host", PortRestricted)
	recording := h.Record()
	to := newSocket(t, public, "udp4")
	for _, text := range []string{"at home", "on the way"} {
		newSocket(t, h, "udp4").send(t, to.local(), text)
		<-to.heard
		if n := len(carrying(recording.Packets(), text)); n != 1 {
			t.Errorf("%q was recorded %d times", text, n)
		}
		h.Move(lab.Network(SymmetricRandom))
	}

	recording.mu.Lock()
	recording.bytes = recordingLimit
	recording.mu.Unlock()
	newSocket(t, h, "udp4").send(t, to.local(), "too much")
	<-to.heard
	eventually(t, "the recording is full", func() bool {
		_ = recording.drain()
		recording.mu.Lock()
		defer recording.mu.Unlock()
		return recording.missed > 0
	})
}
