package session

import (
	"github.com/peephole-cam/peephole/internal/nat"
)

// Explain is the record behind the sentence that says which path a session took, and why not a better one. It holds no
// address, but in Addresses. The web page makes the same of a browser's statistics (web/src/explain.ts).
type Explain struct {
	Sentence  string    `json:"sentence"`
	Role      string    `json:"role"`       // whose explanation it is: "viewer" or "camera"
	RelayOnly bool      `json:"relay_only"` // the viewer asked to hide its address
	Own       End       `json:"own"`
	Other     End       `json:"other"`
	Age       float64   `json:"age_ms"` // since the session's start
	Checks    []Checks  `json:"checks"`
	Selected  *Selected `json:"selected"` // nil: no path yet
	Rungs     []Reached `json:"rungs"`    // in the order in which they came
	WhyNot    []Missed  `json:"why_not"`  // the rungs better than the selected one, best first

	CameraRelayOnly bool `json:"camera_relay_only"` // the camera did

	Addresses *Addresses `json:"addresses,omitempty"`
}

// End is what is known of one end and its network.
type End struct {
	Candidates map[string]int `json:"candidates"` // how many, by type and address family: "host4", "srflx4", "relay4"; "host" is a name
	Complete   bool           `json:"complete"`   // no more are to come
	Mapping    nat.Mapping    `json:"mapping"`    // of the NAT in front of it
	UDP        string         `json:"udp"`        // "open", "blocked" or "unknown": whether UDP gets out
	Relay      string         `json:"relay"`      // its best way to the relay: "udp", "tcp" or "tls"; empty: none, or unknown
}

// Checks is what became of the connectivity checks of one kind of candidate pair.
type Checks struct {
	Rung      Rung    `json:"rung"`
	Pair      string  `json:"pair"` // own kind and the other end's: "host4 srflx4"
	Pairs     int     `json:"pairs"`
	Sent      uint64  `json:"sent"`     // requests
	Received  uint64  `json:"received"` // the other end's requests
	Answered  uint64  `json:"answered"` // requests of ours
	Succeeded int     `json:"succeeded"`
	RTT       float64 `json:"rtt_ms"` // the least of the pairs that succeeded
}

// Selected is the pair that carries the media.
type Selected struct {
	Rung    Rung    `json:"rung"`
	Own     string  `json:"own"` // candidate kinds
	Other   string  `json:"other"`
	Through string  `json:"through"` // of rung "direct": "hole", "nothing" or "unknown"
	RTT     float64 `json:"rtt_ms"`
}

// Reached says when a rung carried the media first, or again.
type Reached struct {
	Rung Rung    `json:"rung"`
	At   float64 `json:"at_ms"` // since the session's start
}

// Missed is a rung that did not come, and the reason.
type Missed struct {
	Rung   Rung   `json:"rung"`
	Reason Reason `json:"reason"`
}

// Addresses are what an explanation leaves out unless the person at the device asks.
type Addresses struct {
	Own   []string `json:"own"`   // "host4 192.0.2.1:5000"
	Other []string `json:"other"` //
	Path  []string `json:"path"`  // the selected pair's
}

// What End.UDP says.
const (
	udpOpen    = "open"
	udpBlocked = "blocked"
	udpUnknown = "unknown"
)

// maxRungs bounds Explain.Rungs: a path that changes for ever is no news after so many times.
const maxRungs = 16

// conclude fills in what follows from the rest.
func (e *Explain) conclude() {
	e.WhyNot = e.whyNot()
	e.Sentence = e.sentence()
}

// some says whether an end has a candidate of one of the kinds.
func (d End) some(kinds ...string) bool {
	for _, k := range kinds {
		if d.Candidates[k] > 0 {
			return true
		}
	}
	return false
}
