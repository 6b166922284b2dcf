package path

import (
	"github.com/peephole-cam/peephole/session/handshake"
)

// Reason is why a type of path that is better than the selected one was not reached.
type Reason string

// The reasons.
const (
	ReasonRelayOnly Reason = "relay_only"        // one end asked to hide its address
	ReasonUDPOwn    Reason = "udp_blocked_own"   // this end's network lets no UDP out
	ReasonUDPOther  Reason = "udp_blocked_other" //
	// it works; the media is about to move to it, or another pair was nominated first
	ReasonWorks     Reason = "works"
	ReasonNoneOwn   Reason = "no_candidate_own"   // this end has no candidate of that kind
	ReasonNoneOther Reason = "no_candidate_other" //
	ReasonBoth      Reason = "symmetric_both"     // both NATs map by destination, so neither end knows where to send
	// this end's NAT does, and the other end's lets in only packets from places to which it has sent
	ReasonSymmetric    Reason = "symmetric_own"
	ReasonSymmetricOth Reason = "symmetric_other" //
	ReasonNoAnswer     Reason = "no_answer"       // checks were sent, but nothing came back
	ReasonNotYet       Reason = "not_yet"         // candidates are still to come, or checks are under way
)

// The reason is ReasonNoAnswer once nothing has come back for enoughChecks checks of each pair, which take more than a
// second. An end that leaves the choice to the other (RFC 8445, section 7.1) stops checking earlier, as soon as it has
// a path; then the session must be enoughAge old.
const (
	enoughChecks = 4
	enoughAge    = 5000 // ms
)

// whyNot returns the types that are better than the selected one, with their reasons, or all types if none is selected.
func (e *Explain) whyNot() []Missed {
	missed := []Missed{}
	for _, r := range bestFirst {
		if e.Selected != nil && r == e.Selected.Type {
			break
		}
		missed = append(missed, Missed{r, e.reason(r)})
	}

	return missed
}

// reason returns why a type was not reached. It considers the surest causes first.
func (e *Explain) reason(r Type) Reason {
	own, other := e.Own, e.Other
	sent, answered, pairs := uint64(0), uint64(0), 0
	for _, c := range e.Checks {
		if c.Type == r {
			sent, answered, pairs = sent+c.Sent, answered+c.Answered, pairs+c.Pairs
		}
	}

	quiet := pairs > 0 && (sent >= enoughChecks*uint64(pairs) || sent > 0 && e.Age >= enoughAge)
	switch {
	case (e.RelayOnly || e.CameraRelayOnly) && !r.relayed():
		return ReasonRelayOnly
	case own.UDP == handshake.UDPBlocked && (r == Direct || r == RelayUDP):
		return ReasonUDPOwn
	case other.UDP == handshake.UDPBlocked && (r == Direct || r == RelayUDP):
		return ReasonUDPOther
	case answered > 0:
		return ReasonWorks
	case own.Complete && !own.reaches(r):
		return ReasonNoneOwn
	case other.Complete && !other.reaches(r):
		return ReasonNoneOther
	case r == Direct && own.Mapping.Symmetric() && other.Mapping.Symmetric():
		return ReasonBoth
	case !r.relayed() && own.Complete && other.Complete && pairs == 0: // none of the other's can be tried from here
		return ReasonNoneOther
	case !quiet:
		return ReasonNotYet
	case r == Direct && own.Mapping.Symmetric():
		return ReasonSymmetric
	case r == Direct && other.Mapping.Symmetric():
		return ReasonSymmetricOth
	}

	return ReasonNoAnswer
}

// reaches reports whether an end has a candidate that could make a path of a type. Peer reflexive candidates come from
// checks.
func (d End) reaches(r Type) bool {
	switch r {
	case LAN:
		return d.some("host4", "host6", "host", "prflx4", "prflx6", "prflx")
	case IPv6:
		return d.some("host6", "srflx6", "prflx6", "host", "prflx")
	case Direct:
		return d.some("host4", "srflx4", "prflx4", "host", "prflx")
	case RelayUDP:
		return d.some("relay4", "relay6", "relay") && (d.Relay == "" || d.Relay == "udp")
	case RelayTCP:
		return d.some("relay4", "relay6", "relay") && d.Relay != "tls"
	}
	return d.some("relay4", "relay6", "relay")
}
