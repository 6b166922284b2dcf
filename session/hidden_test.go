package session

import (
	"context"
	"net"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pion/transport/v5"

	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/turn"
)

// grantOf runs a TURN server of the test's own and returns the credentials of one session's two ends.
func grantOf(t *testing.T) (viewer, camera *TURN) {
	t.Helper()
	keys, err := turn.NewKeys(fresh(turn.MinSecret), nil)
	if err != nil {
		t.Fatal(err)
	}
	server, err := turn.New(turn.Config{Address: "127.0.0.1:0", Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	g, err := keys.Grant("payer", time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	end := func(c turn.Credential) *TURN {
		return &TURN{URLs: server.URLs("127.0.0.1", "127.0.0.1"), Username: c.Username, Credential: c.Password}
	}
	return end(g.Viewer), end(g.Camera)
}

// heardOf is what a peer who holds a session's keys reads in all that went through the relay: descriptions and candidates.
func heardOf(t *testing.T, h *house, v *Viewer, ours *envelope.Pair) (descriptions, candidates []string) {
	t.Helper()
	viewers, cameras := &recordReceiver{key: v.records.signaling.out.key}, &recordReceiver{key: v.records.signaling.in.key}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, body := range h.sent {
		if o, err := ours.Open(v.cfg.Box, body, time.Now()); err == nil {
			parsed, err := parseOffer(o.Body)
			if err != nil {
				t.Fatal(err)
			}
			descriptions = append(descriptions, parsed.SDP)
			continue
		}
		if a, err := v.handshake.open(body, time.Now()); err == nil {
			descriptions = append(descriptions, a.SDP)
			continue
		}
		m, err := viewers.open(body)
		if err != nil {
			m, err = cameras.open(body)
		}
		switch {
		case err == nil && m.Type == "candidate":
			candidates = append(candidates, m.Candidate)
		case err != nil && !mayBeChunk(body):
			t.Errorf("%d bytes went through the relay, and nobody knows what they are", len(body))
		}
	}
	return descriptions, candidates
}

var related = regexp.MustCompile(` raddr (\S+) rport (\d+)`)

// tells are the addresses of either end in descriptions and candidates, those that say nothing left out.
func tells(t *testing.T, descriptions, candidates []string) (addresses []string) {
	t.Helper()
	for _, d := range descriptions {
		for line := range strings.Lines(d) {
			if strings.HasPrefix(line, "a=candidate") {
				addresses = append(addresses, line)
			}
			if fields := strings.Fields(line); strings.HasPrefix(line, "c=") && fields[2] != "0.0.0.0" {
				addresses = append(addresses, line)
			}
		}
	}
	for _, c := range candidates {
		fields := strings.Fields(c)
		if len(fields) < 8 {
			continue // no more are to come
		}
		if r := related.FindStringSubmatch(c); r != nil && (r[1] != "0.0.0.0" || r[2] != "9") {
			addresses = append(addresses, c)
		}
		if ip, err := netip.ParseAddr(fields[4]); err != nil || fields[7] != "relay" || !relayedAddresses.Contains(ip) {
			addresses = append(addresses, c)
		}
	}
	return addresses
}

// Whoever of the two asks to hide, neither tells the other an address of its own: what a peer opens holds relayed candidates alone, and
// no related address. When nobody asks the same eye sees addresses.
func TestHiddenTellNoAddress(t *testing.T) {
	for _, tt := range []struct {
		name           string
		viewer, camera bool
		why            string
	}{
		{"nobody hides", false, false, "direct: both are on one network"},
		{"the viewer hides", true, false, "you asked to hide your address"},
		{"the camera hides", false, true, "the camera hides its address"},
		{"both hide", true, true, "you asked to hide your address"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var camera CameraConfig
			h := newHouse(t, &camera, quiet())
			h.hides, h.viewer.RelayOnly = tt.camera, tt.viewer
			h.viewer.TURN, h.viewer.CameraTURN = grantOf(t)
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			frames, why := 0, ""
			h.viewer.OnFrame = func(f Frame) {
				if frames++; frames == 20 {
					cancel()
				}
			}
			h.viewer.OnPath = func(p Path) { why = p.Why }
			v, err := NewViewer(h.viewer)
			if err != nil {
				t.Fatal(err)
			}
			if err := v.Run(ctx); err != nil || frames < 20 {
				t.Fatalf("%d frames, %v", frames, err)
			}
			<-h.camera
			descriptions, candidates := heardOf(t, h, v, camera.Pair)
			told := tells(t, descriptions, candidates)
			if hidden := tt.viewer || tt.camera; len(descriptions) != 2 || len(candidates) < 4 || hidden != (len(told) == 0) || !strings.HasSuffix(why, tt.why) {
				t.Errorf("%q; %d descriptions and %d candidates tell of %q", why, len(descriptions), len(candidates), told)
			}
		})
	}
}

// A host candidate's socket sends nothing to a relayed address, which whoever had it in the world would see come from this network.
func TestHostSendsNothingToRelayedAddresses(t *testing.T) {
	network, err := newTurnNet(nil, nil, nil, nat64{})
	if err != nil {
		t.Fatal(err)
	}
	at, err := network.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer at.Close()
	sink := &counting{UDPConn: at.(hostConn).UDPConn}
	at = hostConn{sink, nat64{}}
	for address, want := range map[string]int{"198.18.0.1": 0, "::ffff:198.19.255.255": 0, "198.20.0.1": 1, "192.0.2.1": 1, "2001:db8::1": 1} {
		sink.sent = 0
		if n, err := at.WriteTo([]byte("check"), &net.UDPAddr{IP: net.ParseIP(address), Port: 5000}); n != 5 || err != nil || sink.sent != want {
			t.Errorf("%s: %d packets sent, want %d; %v", address, sink.sent, want, err)
		}
	}
}

// counting counts what it is given to send, and sends nothing.
type counting struct {
	transport.UDPConn
	sent int
}

func (c *counting) WriteTo(b []byte, _ net.Addr) (int, error) {
	c.sent++
	return len(b), nil
}
