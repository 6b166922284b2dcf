package session

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/session/handshake"
	"github.com/peephole-cam/peephole/session/path"
	"github.com/peephole-cam/peephole/session/turnclient"
	"github.com/peephole-cam/peephole/signaling"
	"github.com/peephole-cam/peephole/test/sessiontest"
	"github.com/peephole-cam/peephole/turn"
)

// grantOf runs a TURN server for the test, and returns the credentials of both ends of a session.
func grantOf(t *testing.T) (viewer, camera *handshake.TURN) {
	t.Helper()
	keys, err := turn.NewKeys(sessiontest.Random(turn.MinSecret), nil)
	if err != nil {
		t.Fatal(err)
	}
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}

	server, err := turn.New(turn.Config{Address: "127.0.0.1:0", Keys: keys, Streams: []net.Listener{tcp}})
	if err != nil {
		t.Fatal(err)
	}
	urls := []string{
		fmt.Sprintf("turn:%s?transport=udp", server.Addresses().UDP),
		fmt.Sprintf("turn:%s?transport=tcp", tcp.Addr()),
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
	end := func(c turn.Credential) *handshake.TURN {
		return &handshake.TURN{URLs: urls, Username: c.Username, Credential: c.Password}
	}

	return end(g.Viewer), end(g.Camera)
}

// heardOf returns the descriptions and candidates that somebody with the session's keys can read in all that went
// through the relay.
func heardOf(t *testing.T, h *house, v *Viewer, ours *envelope.Pair) (descriptions, candidates []string) {
	t.Helper()
	var viewers, cameras *handshake.RecordKeys // nil before the answer
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, body := range h.sent {
		if o, err := ours.Open(v.cfg.Box, body, time.Now()); err == nil {
			parsed, err := handshake.ParseOffer(o.Body)
			if err != nil {
				t.Fatal(err)
			}
			descriptions = append(descriptions, parsed.SDP)
			continue
		}

		a, secret, err := handshake.NewInbox(nil).OpenReply(v.offerer, signaling.Delivery{Body: body})
		if err == nil && a != nil {
			descriptions = append(descriptions, a.SDP)
			viewers, cameras = secret.RecordKeys(envelope.ToCamera), secret.RecordKeys(envelope.ToViewer)
			continue
		}

		if viewers == nil {
			t.Fatalf("%d bytes went through the relay before the answer", len(body))
		}
		m, err := cameras.Signaling.Open(body) // the viewer's records
		if err != nil {
			m, err = viewers.Signaling.Open(body)
		}

		switch {
		case err == nil && m.Type == "candidate":
			candidates = append(candidates, m.Candidate)
		case err != nil && !handshake.MayBeChunk(body):
			t.Errorf("%d bytes of an unknown kind went through the relay", len(body))
		}
	}

	return descriptions, candidates
}

var related = regexp.MustCompile(` raddr (\S+) rport (\d+)`)

// tells returns the lines and candidates that reveal an address of either end.
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
			continue // the empty candidate at the end
		}
		if r := related.FindStringSubmatch(c); r != nil && (r[1] != "0.0.0.0" || r[2] != "9") {
			addresses = append(addresses, c)
		}

		if ip, err := netip.ParseAddr(fields[4]); err != nil || fields[7] != "relay" ||
			!turnclient.RelayedAddresses.Contains(ip) {
			addresses = append(addresses, c)
		}
	}

	return addresses
}

// If either end asks to hide, neither tells the other its own addresses: in all that was sent there are only relayed
// candidates, and no related address. If neither asks, the same check does find addresses.
func TestHiddenEndsTellNoAddress(t *testing.T) {
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
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()

			frames, why := 0, ""
			h.viewer.OnFrame = func(f handshake.Frame) {
				if frames++; frames == 20 {
					cancel()
				}
			}

			h.viewer.OnPath = func(p path.Path) { why = p.Why }
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
			if hidden := tt.viewer ||
				tt.camera; len(descriptions) != 2 || len(candidates) < 4 || hidden != (len(told) == 0) ||
				!strings.HasSuffix(why, tt.why) {
				t.Errorf("%q; %d descriptions and %d candidates tell of %q", why, len(descriptions), len(candidates),
					told)
			}
		})
	}
}
