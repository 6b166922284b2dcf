package session

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/pion/webrtc/v4"

	"github.com/peephole-cam/peephole/media"
	"github.com/peephole-cam/peephole/session/handshake"
	"github.com/peephole-cam/peephole/session/turnclient"
)

// A viewer that hides behind the relay does not reveal its own address as the related address of a relayed candidate.
func TestRelayedCandidateDoesNotNameItsHost(t *testing.T) {
	c := webrtc.ICECandidate{
		Foundation:     "1",
		Priority:       1,
		Address:        "198.18.0.9",
		Protocol:       webrtc.ICEProtocolUDP,
		Port:           5000,
		Typ:            webrtc.ICECandidateTypeRelay,
		Component:      1,
		RelatedAddress: "203.0.113.7",
		RelatedPort:    4321,
	}

	sent := candidateMessage(outgoing(&c))
	if !strings.Contains(sent.Candidate, "198.18.0.9") || strings.Contains(sent.Candidate, "203.0.113.7") ||
		strings.Contains(sent.Candidate, "4321") {
		t.Errorf("sent: %q", sent.Candidate)
	}

	if !strings.Contains(sent.Candidate, " raddr 0.0.0.0 rport 9") {
		t.Errorf("no related address at all, which Firefox does not accept: %q", sent.Candidate)
	}
	if c.RelatedAddress != "203.0.113.7" {
		t.Error("our own candidate was changed")
	}

	c.Typ = webrtc.ICECandidateTypeSrflx
	if sent := candidateMessage(outgoing(&c)); !strings.Contains(sent.Candidate, "203.0.113.7") {
		t.Errorf("a server reflexive candidate needs its base: %q", sent.Candidate)
	}
	if end := candidateMessage(outgoing(nil)); end.Candidate != "" || end.Type != "candidate" {
		t.Errorf("end of candidates: %+v", end)
	}
}

// Both ends get candidates in a description and in records. Of these together, an end uses no more of each kind than
// its limit.
func TestCandidatesAreBounded(t *testing.T) {
	const many = 400
	for _, tt := range []struct {
		name                    string
		described, sent, refuse int
	}{
		{"by records alone", 0, many, many - turnclient.MaxHosts},
		{"by the description alone", many, 0, many - turnclient.MaxHosts},
		{"by both", turnclient.MaxHosts / 2, turnclient.MaxHosts, turnclient.MaxHosts / 2},
		{"as many as are used", turnclient.MaxHosts / 2, turnclient.MaxHosts / 2, 0},
	} {
		for _, kind := range []webrtc.SDPType{webrtc.SDPTypeOffer, webrtc.SDPTypeAnswer} {
			t.Run(tt.name+" of an "+kind.String(), func(t *testing.T) {
				var said bytes.Buffer
				log := slog.New(slog.NewTextHandler(&said, &slog.HandlerOptions{Level: slog.LevelDebug}))
				p, description := describedPeer(t, kind)

				description = strings.Replace(description, "a=mid:0\r\n", "a=mid:0\r\n"+candidateLines(tt.described), 1)
				if err := p.setRemote(kind, description, log); err != nil {
					t.Fatal(err)
				}
				for n := range tt.sent {
					p.addCandidate(handshake.Message{Candidate: numberedCandidate(tt.described + n), Mid: "0"}, log)
				}

				if refused := strings.Count(said.String(), "beyond the limit"); refused != tt.refuse {
					t.Errorf("%d candidates were refused, want %d", refused, tt.refuse)
				}
				if strings.Count(said.String(), "\n") != tt.refuse {
					t.Errorf("candidates could not be used: %s", said.String()[:min(300, said.Len())])
				}

				if n := strings.Count(p.pc.RemoteDescription().SDP, "a=candidate"); n != 0 {
					t.Errorf("pion got %d candidates that nobody counted", n)
				}
			})
		}
	}
}

// The end of candidates is neither used as one nor logged as a fault.
func TestEndOfCandidatesIsNoFault(t *testing.T) {
	var said bytes.Buffer
	log := slog.New(slog.NewTextHandler(&said, &slog.HandlerOptions{Level: slog.LevelDebug}))
	q := make(quota)
	if q.takes(candidateMessage(outgoing(nil)), log) || len(q) != 0 || said.Len() != 0 {
		t.Errorf("counted: %v, logged: %q", q, said.String())
	}
	if q.takes(handshake.Message{Type: "candidate", Candidate: "candidate:1"}, log) || said.Len() == 0 {
		t.Error("half a candidate is used, or nothing is logged about it")
	}
}

// describedPeer returns one end, and the description that it gets from the other end, in an offer or an answer.
func describedPeer(t *testing.T, kind webrtc.SDPType) (*peer, string) {
	t.Helper()
	ends := [2]*peer{}
	for i := range ends {
		p, err := newPeer(t.Context(), peerConfig{carriers: []media.Carrier{media.VP8Carrier}, log: quiet()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := p.pc.GracefulClose(); err != nil {
				t.Error(err)
			}
		})
		ends[i] = p
	}

	viewer, camera := ends[0].pc, ends[1].pc
	_, err := viewer.AddTransceiverFromKind(webrtc.RTPCodecTypeVideo,
		webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly})
	offer, err2 := viewer.CreateOffer(nil)
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	if kind == webrtc.SDPTypeOffer {
		return ends[1], offer.SDP
	}

	err = errors.Join(viewer.SetLocalDescription(offer), camera.SetRemoteDescription(offer))
	answer, err2 := camera.CreateAnswer(nil)
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	return ends[0], answer.SDP
}

// numberedCandidate returns a candidate at which nobody answers (RFC 5737). It differs for each number.
func numberedCandidate(n int) string {
	return fmt.Sprintf("candidate:1 1 udp 1 192.0.2.1 %d typ host", 1024+n)
}

func candidateLines(n int) (lines string) {
	for i := range n {
		lines += "a=" + numberedCandidate(i) + "\r\n"
	}
	return lines
}

// A description may have at most two media sections. Each costs this end a transceiver, and a session has no use for a
// third.
func TestMediaSectionsAreBounded(t *testing.T) {
	p, offer := describedPeer(t, webrtc.SDPTypeOffer)
	section := offer[strings.Index(offer, "m=video"):strings.Index(offer, "m=application")]
	err := p.setRemote(webrtc.SDPTypeOffer, offer+strings.Replace(section, "a=mid:0", "a=mid:2", 1), quiet())
	if !errors.Is(err, handshake.ErrMalformed) {
		t.Errorf("an offer with three media sections: %v, want %v", err, handshake.ErrMalformed)
	}

	if err := p.setRemote(webrtc.SDPTypeOffer, offer, quiet()); err != nil {
		t.Errorf("an offer with two: %v", err)
	}
}
