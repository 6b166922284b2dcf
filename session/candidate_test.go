package session

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/pion/webrtc/v4"

	"github.com/peephole-cam/peephole/media"
)

// A viewer that hides behind the relay does not send its own address along as the relayed candidate's related address.
func TestRelayedCandidateDoesNotNameItsHost(t *testing.T) {
	c := webrtc.ICECandidate{Foundation: "1", Priority: 1, Address: "198.18.0.9", Protocol: webrtc.ICEProtocolUDP, Port: 5000,
		Typ: webrtc.ICECandidateTypeRelay, Component: 1, RelatedAddress: "203.0.113.7", RelatedPort: 4321}
	sent := candidateMessage(outgoing(&c))
	if !strings.Contains(sent.Candidate, "198.18.0.9") || strings.Contains(sent.Candidate, "203.0.113.7") || strings.Contains(sent.Candidate, "4321") {
		t.Errorf("sent: %q", sent.Candidate)
	}
	if !strings.Contains(sent.Candidate, " raddr 0.0.0.0 rport 9") {
		t.Errorf("no related address at all, which Firefox does not take: %q", sent.Candidate)
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

func TestCandidatesAreBounded(t *testing.T) {
	var said bytes.Buffer
	log := slog.New(slog.NewTextHandler(&said, &slog.HandlerOptions{Level: slog.LevelDebug}))
	p, err := newPeer(t.Context(), peerConfig{carriers: []media.Carrier{media.VP8Carrier}, log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	defer p.pc.GracefulClose()
	for range 10 * maxCandidates {
		p.addCandidate(message{Candidate: "candidate:1 1 udp 1 127.0.0.1 9 typ host", Mid: "0"}, log)
	}
	if used := 10*maxCandidates - strings.Count(said.String(), "beyond the limit"); used != maxCandidates {
		t.Errorf("%d candidates were used, want %d", used, maxCandidates)
	}
}
