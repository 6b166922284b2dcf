package path

import (
	"fmt"

	"github.com/peephole-cam/peephole/session/handshake"
)

// summary returns the sentence that tells a person what the record holds. The page makes the same sentences, and
// testdata/explain.json tests both.
func (e *Explain) summary() string {
	there := "the " + e.otherRole() + "'s network"
	if e.Selected == nil {
		return "not connected: " + e.unconnected(there)
	}
	switch e.Selected.Type {
	case LAN:
		return "direct: both are on one network"
	case IPv6:
		return "direct over IPv6"
	case Direct:
		switch e.Selected.Through {
		case throughHole:
			return "direct: through a hole punched in the routers between"
		case throughNothing:
			return "direct: both have public addresses"
		}
		return "direct: straight from one network to the other"
	case RelayTCP:
		return "relayed over TCP: " + e.relayedFor(there) + e.through()
	case RelayTLS:
		return "relayed over TLS: " + e.relayedFor(there) + e.through()
	}

	return "relayed: " + e.relayedFor(there) + e.through()
}

// through returns the end of a relayed session's sentence, which names the region and both round trips to it.
func (e *Explain) through() string {
	if e.Region == nil {
		return ""
	}
	return fmt.Sprintf("; via region %s, the best of %d (%d ms from here, %d ms from the %s)",
		e.Region.Name, e.Region.Regions, e.Region.Own, e.Region.Other, e.otherRole())
}

func (e *Explain) otherRole() string {
	if e.Role == "camera" {
		return "viewer"
	}
	return "camera"
}

// relayedFor returns why the media goes through the relay, which is why there is no direct path over IPv4, or over IPv6
// if both ends have only that.
func (e *Explain) relayedFor(there string) string {
	why := e.reason(Direct)
	if (why == ReasonNoneOwn || why == ReasonNoneOther) && e.Own.reaches(IPv6) && e.Other.reaches(IPv6) {
		why = e.reason(IPv6)
	}
	switch why {
	case ReasonRelayOnly:
		return e.hidden()
	case ReasonUDPOwn:
		if e.Other.UDP == handshake.UDPBlocked {
			return "both networks block UDP"
		}
		return "this network blocks UDP"
	case ReasonUDPOther:
		return there + " blocks UDP"
	case ReasonBoth:
		return "both networks use symmetric NAT"
	case ReasonSymmetric:
		return "this network uses symmetric NAT"
	case ReasonSymmetricOth:
		return there + " uses symmetric NAT"
	case ReasonNoneOwn, ReasonNoneOther:
		return e.apart(there)
	case ReasonNoAnswer:
		return "nothing came back on the direct ways that were tried"
	case ReasonWorks:
		return "a direct way has been found and is about to be taken"
	}

	return "no direct way between the two networks has been found so far"
}

// hidden returns which end asked to hide behind the relay.
func (e *Explain) hidden() string {
	switch {
	case e.Role == "camera" && e.RelayOnly:
		return "the viewer asked to hide its address"
	case e.Role == "camera":
		return "this camera hides its address"
	case e.RelayOnly:
		return "you asked to hide your address"
	}
	return "the camera hides its address"
}

// apart returns why the two ends have no kind of address in common.
func (e *Explain) apart(there string) string {
	switch own, other := e.Own, e.Other; {
	case own.reaches(IPv6) && !own.reaches(Direct) && other.reaches(Direct) && !other.reaches(IPv6):
		return fmt.Sprintf("this network has IPv6 alone, and %s IPv4", there)
	case own.reaches(Direct) && !own.reaches(IPv6) && other.reaches(IPv6) && !other.reaches(Direct):
		return fmt.Sprintf("this network has IPv4 alone, and %s IPv6", there)
	case !own.reaches(Direct):
		return "this network gave no address to be reached at"
	}
	return there + " gave no address to be reached at"
}

// unconnected returns what is wrong if there is no path at all.
func (e *Explain) unconnected(there string) string {
	switch own, other := e.Own, e.Other; {
	case !own.Complete:
		return "no way has been found so far"
	case len(own.Candidates) == 0:
		return "this device has no network"
	case len(other.Candidates) == 0:
		return "nothing was heard of " + there
	case e.NoRelay:
		return "the relay is gone, and no direct way to " + there + " has been found"
	case !own.reaches(RelayTLS):
		return "the relay's TURN server does not answer this device"
	case !other.reaches(RelayTLS):
		return fmt.Sprintf("the relay's TURN server does not answer the %s", e.otherRole())
	}
	return "no way between the two networks has been found"
}
