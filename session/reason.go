package session

// Reason says why a rung better than the selected one did not come.
type Reason string

// The reasons.
const (
	ReasonRelayOnly    Reason = "relay_only"         // one end asked to hide its address
	ReasonUDPOwn       Reason = "udp_blocked_own"    // this end's network lets no UDP out
	ReasonUDPOther     Reason = "udp_blocked_other"  //
	ReasonWorks        Reason = "works"              // it answers: the media is about to move, or another was nominated first
	ReasonNoneOwn      Reason = "no_candidate_own"   // this end has no candidate of that kind
	ReasonNoneOther    Reason = "no_candidate_other" //
	ReasonBoth         Reason = "symmetric_both"     // both NATs map by destination: neither end knows where to send
	ReasonSymmetric    Reason = "symmetric_own"      // this end's does, and the other's lets in only what it has sent to
	ReasonSymmetricOth Reason = "symmetric_other"    //
	ReasonNoAnswer     Reason = "no_answer"          // checks were sent and nothing came back
	ReasonNotYet       Reason = "not_yet"            // candidates or checks are still under way
)

// It is a silence when nothing has come back of so many checks a pair, more than a second's. An end that leaves the choice to the
// other (RFC 8445, section 7.1) stops earlier, when it has a path: after that age of the session.
const (
	enoughChecks = 4
	enoughAge    = 5000 // ms
)

// whyNot goes up the ladder from the selected rung; without one, from its foot.
func (e *Explain) whyNot() []Missed {
	missed := []Missed{}
	for _, r := range ladder {
		if e.Selected != nil && r == e.Selected.Rung {
			break
		}
		missed = append(missed, Missed{r, e.reason(r)})
	}
	return missed
}

// reason says why a rung did not come, the surest cause first.
func (e *Explain) reason(r Rung) Reason {
	own, other := e.Own, e.Other
	sent, answered, pairs := uint64(0), uint64(0), 0
	for _, c := range e.Checks {
		if c.Rung == r {
			sent, answered, pairs = sent+c.Sent, answered+c.Answered, pairs+c.Pairs
		}
	}
	quiet := pairs > 0 && (sent >= enoughChecks*uint64(pairs) || sent > 0 && e.Age >= enoughAge)
	switch {
	case (e.RelayOnly || e.CameraRelayOnly) && !r.relayed():
		return ReasonRelayOnly
	case own.UDP == udpBlocked && (r == Direct || r == RelayUDP):
		return ReasonUDPOwn
	case other.UDP == udpBlocked && (r == Direct || r == RelayUDP):
		return ReasonUDPOther
	case answered > 0:
		return ReasonWorks
	case own.Complete && !own.reaches(r):
		return ReasonNoneOwn
	case other.Complete && !other.reaches(r):
		return ReasonNoneOther
	case r == Direct && own.Mapping.Symmetric() && other.Mapping.Symmetric():
		return ReasonBoth
	case !r.relayed() && own.Complete && other.Complete && pairs == 0: // of what it has, nothing can be tried from here
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

// reaches says whether an end has a candidate that could make a rung. Peer reflexive ones were made by checks.
func (d End) reaches(r Rung) bool {
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
