package session

import (
	"log/slog"

	"github.com/pion/webrtc/v4"
)

// outgoing is a candidate as the other end gets it; nil: there are no more. A relayed candidate's related address is this
// end's own and of no use to the other: one that says nothing stands in its place (RFC 8839, section 5.1), or "relay only" would hide
// nothing. It cannot be left out: Firefox takes no relayed candidate without it.
func outgoing(c *webrtc.ICECandidate) webrtc.ICECandidateInit {
	if c == nil {
		return webrtc.ICECandidateInit{} // an empty candidate ends them
	}
	sent := *c
	if sent.Typ == webrtc.ICECandidateTypeRelay {
		sent.RelatedAddress, sent.RelatedPort = "0.0.0.0", 9
	}
	return sent.ToJSON()
}

func candidateMessage(c webrtc.ICECandidateInit) message {
	m := message{Type: "candidate", Candidate: c.Candidate}
	if c.SDPMid != nil {
		m.Mid = *c.SDPMid
	}
	return m
}

// maxCandidates bounds what the other end can have this one check.
const maxCandidates = 64

// addCandidate takes a candidate of the other end. One that cannot be used is not an error: ICE goes on with the others.
func (p *peer) addCandidate(m message, log *slog.Logger) {
	if m.Candidate == "" {
		return
	}
	if p.candidates++; p.candidates > maxCandidates {
		log.Debug("candidate beyond the limit: not used")
		return
	}
	if err := p.pc.AddICECandidate(webrtc.ICECandidateInit{Candidate: m.Candidate, SDPMid: &m.Mid}); err != nil {
		log.Debug("add candidate", "err", err)
	}
}
