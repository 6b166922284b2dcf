package session

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/pion/ice/v4"
	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"

	"github.com/peephole-cam/peephole/session/handshake"
	"github.com/peephole-cam/peephole/session/path"
)

// outgoing returns a candidate as the other end gets it; nil means that there are no more. The related address of a
// relayed candidate is this end's own, and the other end has no use for it. outgoing replaces it by one that says
// nothing (RFC 8839, section 5.1), because otherwise "relay only" would hide nothing. It cannot leave it out: Firefox
// refuses a relayed candidate without one.
func outgoing(c *webrtc.ICECandidate) webrtc.ICECandidateInit {
	if c == nil {
		return webrtc.ICECandidateInit{} // an empty candidate means that no more follow
	}
	sent := *c
	if sent.Typ == webrtc.ICECandidateTypeRelay {
		sent.RelatedAddress, sent.RelatedPort = "0.0.0.0", 9
	}

	return sent.ToJSON()
}

func candidateMessage(c webrtc.ICECandidateInit) handshake.Message {
	m := handshake.Message{Type: "candidate", Candidate: c.Candidate}
	if c.SDPMid != nil {
		m.Mid = *c.SDPMid
	}
	return m
}

// maxMedia is how many media sections a description may have: the picture and the data channel.
const maxMedia = 2

// setRemote applies the other end's description. It counts and uses the candidates in a description like those in
// records, so that one limit holds for both.
func (p *peer) setRemote(kind webrtc.SDPType, text string, log *slog.Logger) error {
	description, candidates, err := splitCandidates(text)
	if err != nil {
		return err
	}
	if err := p.pc.SetRemoteDescription(webrtc.SessionDescription{Type: kind, SDP: description}); err != nil {
		return fmt.Errorf("set remote description: %w", err)
	}

	for _, c := range candidates {
		p.addCandidate(c, log)
	}
	return nil
}

// splitCandidates takes the candidates out of a description. It uses pion's own parser, so that pion cannot find any
// that splitCandidates overlooks.
func splitCandidates(text string) (description string, candidates []handshake.Message, err error) {
	var d sdp.SessionDescription
	if err := d.UnmarshalString(text); err != nil {
		return "", nil, fmt.Errorf("parse description: %w", errors.Join(handshake.ErrMalformed, err))
	}
	if len(d.MediaDescriptions) > maxMedia {
		return "", nil, fmt.Errorf("parse description: %d media sections, at most %d: %w", len(d.MediaDescriptions),
			maxMedia, handshake.ErrMalformed)
	}

	// A candidate belongs to a media section (RFC 8839, section 5.1), so one outside all sections is dropped.
	d.Attributes = slices.DeleteFunc(d.Attributes, sdp.Attribute.IsICECandidate)
	for _, m := range d.MediaDescriptions {
		mid, _ := m.Attribute("mid")
		m.Attributes = slices.DeleteFunc(m.Attributes, func(a sdp.Attribute) bool {
			if a.IsICECandidate() {
				candidates = append(candidates, handshake.Message{Type: "candidate", Candidate: a.String(), Mid: mid})
			}
			return a.IsICECandidate()
		})
	}

	b, err := d.Marshal()
	if err != nil {
		return "", nil, fmt.Errorf("write description: %w", err)
	}
	return string(b), candidates, nil
}

// addCandidate adds a candidate of the other end. A candidate that cannot be used is no error: ICE goes on with the
// others.
func (p *peer) addCandidate(m handshake.Message, log *slog.Logger) {
	if p.taken.takes(m, log) {
		p.check(m, log)
	}
}

// takes reports whether to use a candidate of the other end: it can be read, and is within the limit of its kind.
func (q quota) takes(m handshake.Message, log *slog.Logger) bool {
	if m.Candidate == "" {
		return false
	}
	c, err := parseCandidate(m.Candidate)
	if err != nil {
		log.Debug("add candidate", "err", err)
		return false
	}
	if !q.admit(c) {
		log.Debug("candidate beyond the limit of its kind: not used", "kind", c.Kind())
		return false
	}
	return true
}

// check makes ICE check a candidate of the other end.
func (p *peer) check(m handshake.Message, log *slog.Logger) {
	if err := p.pc.AddICECandidate(webrtc.ICECandidateInit{Candidate: m.Candidate, SDPMid: &m.Mid}); err != nil {
		log.Debug("add candidate", "err", err)
	}
}

// parseCandidate reads a candidate with pion's own parser.
func parseCandidate(text string) (path.Candidate, error) {
	c, err := ice.UnmarshalCandidate(text)
	if err != nil {
		return path.Candidate{}, fmt.Errorf("parse candidate: %w", errors.Join(handshake.ErrMalformed, err))
	}
	typ, err := webrtc.NewICECandidateType(c.Type().String())
	if err != nil {
		return path.Candidate{}, fmt.Errorf("parse candidate: %w", errors.Join(handshake.ErrMalformed, err))
	}
	if c.Component() != ice.ComponentRTP { // Firefox opens sockets for RTCP, but then uses none of them
		return path.Candidate{}, fmt.Errorf("parse candidate: %w: component %d", handshake.ErrMalformed, c.Component())
	}
	return path.Candidate{Type: typ, TCP: c.NetworkType().IsTCP(), Address: c.Address(), Port: c.Port()}, nil
}

// offers reports whether to send a candidate of this end to the other end. It does if the candidate is within the limit
// of its kind, or nil, which ends the candidates.
func (q quota) offers(c *webrtc.ICECandidate) bool {
	return c == nil || q.admit(path.Candidate{
		Type:    c.Typ,
		TCP:     c.Protocol == webrtc.ICEProtocolTCP,
		Address: c.Address,
	})
}
