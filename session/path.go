package session

import (
	"fmt"
	"strings"

	"github.com/pion/webrtc/v4"
)

// Path is the way a session's media takes.
type Path struct {
	Kind   string // "direct" or "relay"
	Why    string // one sentence for a person
	Local  string // own candidate's type and transport: "host udp4"; no address
	Remote string // the other end's
}

func describePath(pair *webrtc.ICECandidatePair, relayOnly bool) Path {
	p := Path{Kind: "direct", Local: describeCandidate(pair.Local), Remote: describeCandidate(pair.Remote)}
	local, remote := pair.Local.Typ, pair.Remote.Typ
	switch {
	case relayOnly:
		p.Kind, p.Why = "relay", "relayed: you asked to hide your address"
	case local == webrtc.ICECandidateTypeRelay || remote == webrtc.ICECandidateTypeRelay:
		p.Kind, p.Why = "relay", "relayed: no direct way between the two networks has been found so far"
	case isPunched(pair.Local) || isPunched(pair.Remote):
		p.Why = "direct: through a hole punched in the routers between"
	case local == webrtc.ICECandidateTypePrflx || remote == webrtc.ICECandidateTypePrflx: // seen by the checks alone: nobody said where it is
		p.Why = "direct: straight from the camera to this device"
	default:
		p.Why = "direct: both are on one network"
	}
	return p
}

func describeCandidate(c *webrtc.ICECandidate) string {
	family := "4"
	if strings.Contains(c.Address, ":") {
		family = "6"
	}
	return fmt.Sprintf("%s %s%s", c.Typ, c.Protocol, family)
}

// isPunched says whether a candidate is an address that a router gave it: one that is not its host's own.
func isPunched(c *webrtc.ICECandidate) bool {
	return c.Typ == webrtc.ICECandidateTypeSrflx && c.Address != c.RelatedAddress
}
