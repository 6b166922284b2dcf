package session

import (
	"github.com/pion/webrtc/v4"

	"github.com/peephole-cam/peephole/session/path"
	"github.com/peephole-cam/peephole/session/turnclient"
)

// quota counts one end's candidates by kind, so that many of one kind cannot keep out those of another, above all not
// the relayed ones, which alone work everywhere. doc/protocol.md, section 6, has the numbers.
type quota map[string]int

// maxOf returns how many candidates of c's kind an end checks. It is 0 for ICE over TCP, because the relay gets through
// where UDP does not. It is also 0 for a relayed candidate whose address is not a relay's, because that could be any
// address that the sender chose.
func maxOf(c path.Candidate) int {
	if c.TCP || c.Type == webrtc.ICECandidateTypeRelay && !turnclient.RelayedAddresses.Contains(c.IP()) {
		return 0
	}
	return map[webrtc.ICECandidateType]int{
		webrtc.ICECandidateTypeHost:  turnclient.MaxHosts,
		webrtc.ICECandidateTypeSrflx: 6,  // two ports on each of two relays, an opened port, and one to spare
		webrtc.ICECandidateTypeRelay: 16, // each URL of a grant, over IPv4 and IPv6
	}[c.Type]
}

// admit reports whether a candidate is within the limit of its kind, and counts it if so.
func (q quota) admit(c path.Candidate) bool {
	kind := c.Kind()
	if q[kind] >= maxOf(c) {
		return false
	}
	q[kind]++
	return true
}
