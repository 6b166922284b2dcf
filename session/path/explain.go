package path

import (
	"github.com/peephole-cam/peephole/nat"
	"github.com/peephole-cam/peephole/session/handshake"
)

// Explain is the record behind the sentence that says which path a session took, and why it took no better one. Only
// Addresses holds addresses. The page makes the same record from a browser's statistics (web/src/session/explain.ts).
type Explain struct {
	Summary   string    `json:"sentence"`
	Role      string    `json:"role"`       // whose explanation it is: "viewer" or "camera"
	RelayOnly bool      `json:"relay_only"` // the viewer asked to hide its address
	Own       End       `json:"own"`
	Other     End       `json:"other"`
	Age       float64   `json:"age_ms"` // since the session's start
	Checks    []Checks  `json:"checks"`
	Selected  *Selected `json:"selected"` // nil while there is no path
	Types     []Reached `json:"rungs"`    // the types of path that carried the media, in order
	WhyNot    []Missed  `json:"why_not"`  // the types better than the selected one, best first

	CameraRelayOnly bool `json:"camera_relay_only"` // the camera asked to hide its address

	// the relay could not be reached, and the session was agreed on without it
	NoRelay bool `json:"no_relay,omitempty"`

	// the region that relays the media if it must; nil if there was no choice
	Region *Region `json:"region,omitempty"`

	Addresses *Addresses `json:"addresses,omitempty"`
}

// Region is the region that was chosen to relay the session, and the figures by which it was chosen.
type Region struct {
	Name    string `json:"name"`     // as the operator's map has it
	Own     int    `json:"own_ms"`   // this end's round trip to its TURN server
	Other   int    `json:"other_ms"` // the other end's
	Regions int    `json:"regions"`  // how many there were to choose from
}

// End is what is known about one end and its network.
type End struct {
	// how many there are, by type and address family: "host4", "srflx4", "relay4"; "host" is a name
	Candidates map[string]int `json:"candidates"`
	Complete   bool           `json:"complete"` // there will be no more
	Mapping    nat.Mapping    `json:"mapping"`  // the behaviour of the NAT in front of it
	UDP        string         `json:"udp"`      // "open" if UDP gets out, "blocked" or "unknown"
	// its best way to the relay: "udp", "tcp" or "tls"; empty if there is none, or it is unknown
	Relay string `json:"relay"`
}

// Checks sums up the connectivity checks of one kind of candidate pair.
type Checks struct {
	Type      Type    `json:"rung"`
	Pair      string  `json:"pair"` // own kind and the other end's: "host4 srflx4"
	Pairs     int     `json:"pairs"`
	Sent      uint64  `json:"sent"`     // our requests
	Received  uint64  `json:"received"` // the other end's requests
	Answered  uint64  `json:"answered"` // our requests that the other end answered
	Succeeded int     `json:"succeeded"`
	RTT       float64 `json:"rtt_ms"` // the shortest among the pairs that succeeded
}

// Selected is the candidate pair that carries the media.
type Selected struct {
	Type    Type    `json:"rung"`
	Own     string  `json:"own"` // candidate kinds
	Other   string  `json:"other"`
	Through string  `json:"through"` // for type "direct": "hole", "nothing" or "unknown"
	RTT     float64 `json:"rtt_ms"`
}

// Reached is a moment at which the media moved to a type of path.
type Reached struct {
	Type Type    `json:"rung"`
	At   float64 `json:"at_ms"` // since the session's start
}

// Missed is a type of path that was not reached, and the reason.
type Missed struct {
	Type   Type   `json:"rung"`
	Reason Reason `json:"reason"`
}

// Addresses are part of an explanation only if the person at the device asks for them.
type Addresses struct {
	Own   []string `json:"own"`   // "host4 192.0.2.1:5000"
	Other []string `json:"other"` //
	Path  []string `json:"path"`  // the selected pair
}

// maxTypes bounds Explain.Types. After so many changes, another one is no news.
const maxTypes = 16

// conclude fills in the fields that follow from the others.
func (e *Explain) conclude() {
	e.WhyNot = e.whyNot()
	e.Summary = e.summary()
}

// worthPunching reports whether guessing ports may help. It may if the session is relayed because of what a NAT does to
// ports.
func (e *Explain) worthPunching() bool {
	relayed := e.Selected != nil && e.Selected.Type.relayed()
	hidden := e.RelayOnly || e.CameraRelayOnly
	if !relayed || hidden || e.Own.UDP != handshake.UDPOpen || e.Other.UDP != handshake.UDPOpen {
		return false
	}

	own, other := e.Own.Mapping, e.Other.Mapping
	known := own != nat.UnknownMapping && other != nat.UnknownMapping
	return known && (own.Symmetric() || other.Symmetric())
}

// some reports whether an end has a candidate of one of the kinds.
func (d End) some(kinds ...string) bool {
	for _, k := range kinds {
		if d.Candidates[k] > 0 {
			return true
		}
	}
	return false
}
