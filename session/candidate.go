package session

import (
	"log/slog"

	"github.com/pion/webrtc/v4"
)

func candidateMessage(c webrtc.ICECandidateInit) message {
	m := message{Type: "candidate", Candidate: c.Candidate}
	if c.SDPMid != nil {
		m.Mid = *c.SDPMid
	}
	return m
}

// addCandidate takes a candidate of the other end. One that cannot be used is not an error: ICE goes on with the others.
func (p *peer) addCandidate(m message, log *slog.Logger) {
	if m.Candidate == "" {
		return
	}
	if err := p.pc.AddICECandidate(webrtc.ICECandidateInit{Candidate: m.Candidate, SDPMid: &m.Mid}); err != nil {
		log.Debug("add candidate", "err", err)
	}
}
