package path

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/pion/webrtc/v4"
)

// iceStats holds pion's statistics about candidates and their pairs.
type iceStats struct {
	ours, theirs  map[string]Candidate // by id
	pairs         []webrtc.ICECandidatePairStats
	local, remote string // ids of the selected pair's candidates; empty if there is none
	rtt           float64
}

// readStats asks the ICE agent for its statistics. It asks for the selected pair only once the agent has told of one:
// before that, pion may still be starting, and nobody knows since when a pair carries the media. The call may wait for
// the agent, which may wait for the network.
func readStats(pc *webrtc.PeerConnection, selected bool) iceStats {
	s := iceStats{ours: make(map[string]Candidate), theirs: make(map[string]Candidate)}
	for _, x := range pc.GetStats() {
		switch x := x.(type) {
		case webrtc.ICECandidateStats:
			if x.IP == triggerAddress {
				continue
			}
			c := Candidate{
				Type:     x.CandidateType,
				TCP:      x.Protocol == "tcp",
				Address:  x.IP,
				Port:     int(x.Port),
				relayWay: x.RelayProtocol,
			}

			if x.Type == webrtc.StatsTypeLocalCandidate {
				s.ours[x.ID] = c
			} else {
				s.theirs[x.ID] = c
			}
		case webrtc.ICECandidatePairStats:
			s.pairs = append(s.pairs, x)
		}
	}

	if !selected {
		return s
	}
	if selected, ok := pc.SCTP().Transport().ICETransport().GetSelectedCandidatePairStats(); ok {
		s.local, s.remote, s.rtt = selected.LocalCandidateID, selected.RemoteCandidateID, selected.CurrentRoundTripTime
	}

	return s
}

// fill puts the statistics into an explanation.
func (s iceStats) fill(e *Explain) {
	ours, theirs := values(s.ours), values(s.theirs)
	e.Own.Candidates, e.Other.Candidates = count(ours), count(theirs)
	e.Own.Relay = bestWay(ours)
	e.Checks = s.checks(ours)
	local, ok := s.ours[s.local]
	remote, ok2 := s.theirs[s.remote]
	if !ok || !ok2 {
		return
	}

	typ := typeOfPair(local, remote, ours)
	e.Selected = &Selected{Type: typ, Own: local.Kind(), Other: remote.Kind(), RTT: milliseconds(s.rtt)}
	switch {
	case typ == Direct:
		e.Selected.Through = through(local, remote, ours, theirs)
	case typ.relayed():
		e.Selected.Type = typ.over(e.Other.Relay)
	}
}

// checks sums up the pairs by kind, best type of path first.
func (s iceStats) checks(ours []Candidate) []Checks {
	sums := make(map[string]*Checks)
	for _, p := range s.pairs {
		local, ok := s.ours[p.LocalCandidateID]
		remote, ok2 := s.theirs[p.RemoteCandidateID]
		typ := typeOfPair(local, remote, ours)
		if !ok || !ok2 || typ == "" {
			continue
		}

		kinds := local.Kind() + " " + remote.Kind()
		sum := sums[string(typ)+kinds]
		if sum == nil {
			sum = &Checks{Type: typ, Pair: kinds}
			sums[string(typ)+kinds] = sum
		}

		sum.Pairs++
		sum.Sent, sum.Received, sum.Answered = sum.Sent+p.RequestsSent, sum.Received+p.RequestsReceived,
			sum.Answered+p.ResponsesReceived
		if p.State != webrtc.StatsICECandidatePairStateSucceeded {
			continue
		}

		sum.Succeeded++
		if rtt := milliseconds(p.CurrentRoundTripTime); sum.RTT == 0 || rtt > 0 && rtt < sum.RTT {
			sum.RTT = rtt
		}
	}

	out := make([]Checks, 0, len(sums))
	for _, sum := range sums {
		out = append(out, *sum)
	}
	slices.SortFunc(out, func(a, b Checks) int {
		return cmp.Or(cmp.Compare(slices.Index(bestFirst, a.Type), slices.Index(bestFirst, b.Type)),
			cmp.Compare(a.Pair, b.Pair))
	})

	return out
}

// addresses returns the addresses, which fill leaves out.
func (s iceStats) addresses() *Addresses {
	list := func(all ...Candidate) []string {
		out := make([]string, 0, len(all))
		for _, c := range all {
			out = append(out, fmt.Sprintf("%s %s:%d", c.Kind(), c.Address, c.Port))
		}
		slices.Sort(out)
		return out
	}

	a := &Addresses{Own: list(values(s.ours)...), Other: list(values(s.theirs)...)}
	if local, ok := s.ours[s.local]; ok {
		a.Path = append(list(local), list(s.theirs[s.remote])...)
	}
	return a
}

func values(all map[string]Candidate) []Candidate {
	out := make([]Candidate, 0, len(all))
	for _, c := range all {
		out = append(out, c)
	}
	return out
}

func count(all []Candidate) map[string]int {
	counts := make(map[string]int)
	for _, c := range all {
		counts[c.Kind()]++
	}
	return counts
}

// bestWay returns the best way by which an end's relay candidates reach the relay.
func bestWay(all []Candidate) string {
	ways := []string{"udp", "tcp", "tls"}
	best := len(ways)
	for _, c := range all {
		if i := slices.Index(ways, c.relayWay); i >= 0 {
			best = min(best, i)
		}
	}

	if best == len(ways) {
		return ""
	}
	return ways[best]
}

// milliseconds converts seconds, and rounds to a hundredth, because more digits would be noise.
func milliseconds(seconds float64) float64 { return float64(int64(seconds*1e5+0.5)) / 100 }
