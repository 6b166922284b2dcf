package session

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/pion/webrtc/v4"
)

// statistics are what pion says of candidates and their pairs.
type statistics struct {
	ours, theirs  map[string]candidate // by id
	pairs         []webrtc.ICECandidatePairStats
	local, remote string // ids of the selected pair's; empty: none
	rtt           float64
}

// readStatistics asks the ICE agent; for the selected pair only when there is one, for before that pion may just be starting. It may wait
// for the agent, which may wait for the network.
func readStatistics(pc *webrtc.PeerConnection, selected bool) statistics {
	s := statistics{ours: make(map[string]candidate), theirs: make(map[string]candidate)}
	for _, x := range pc.GetStats() {
		switch x := x.(type) {
		case webrtc.ICECandidateStats:
			if x.IP == hasteAddress {
				continue
			}
			c := candidate{typ: x.CandidateType, tcp: x.Protocol == "tcp", address: x.IP, port: int(x.Port), relayWay: x.RelayProtocol}
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

// fill puts into an explanation what the statistics say.
func (s statistics) fill(e *Explain) {
	ours, theirs := values(s.ours), values(s.theirs)
	e.Own.Candidates, e.Other.Candidates = count(ours), count(theirs)
	e.Own.Relay = bestWay(ours)
	e.Checks = s.checks(ours)
	local, ok := s.ours[s.local]
	remote, ok2 := s.theirs[s.remote]
	if !ok || !ok2 {
		return
	}
	rung := rungOf(local, remote, ours)
	e.Selected = &Selected{Rung: rung, Own: local.kind(), Other: remote.kind(), RTT: milliseconds(s.rtt)}
	switch {
	case rung == Direct:
		e.Selected.Through = through(local, remote, ours, theirs)
	case rung.relayed():
		e.Selected.Rung = rung.over(e.Other.Relay)
	}
}

// checks sums the pairs up, kind by kind, best rung first.
func (s statistics) checks(ours []candidate) []Checks {
	sums := make(map[string]*Checks)
	for _, p := range s.pairs {
		local, ok := s.ours[p.LocalCandidateID]
		remote, ok2 := s.theirs[p.RemoteCandidateID]
		rung := rungOf(local, remote, ours)
		if !ok || !ok2 || rung == "" {
			continue
		}
		kinds := local.kind() + " " + remote.kind()
		sum := sums[string(rung)+kinds]
		if sum == nil {
			sum = &Checks{Rung: rung, Pair: kinds}
			sums[string(rung)+kinds] = sum
		}
		sum.Pairs++
		sum.Sent, sum.Received, sum.Answered = sum.Sent+p.RequestsSent, sum.Received+p.RequestsReceived, sum.Answered+p.ResponsesReceived
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
		return cmp.Or(cmp.Compare(slices.Index(ladder, a.Rung), slices.Index(ladder, b.Rung)), cmp.Compare(a.Pair, b.Pair))
	})
	return out
}

// addresses are what fill leaves out.
func (s statistics) addresses() *Addresses {
	list := func(all ...candidate) []string {
		out := make([]string, 0, len(all))
		for _, c := range all {
			out = append(out, fmt.Sprintf("%s %s:%d", c.kind(), c.address, c.port))
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

func values(all map[string]candidate) []candidate {
	out := make([]candidate, 0, len(all))
	for _, c := range all {
		out = append(out, c)
	}
	return out
}

func count(all []candidate) map[string]int {
	counts := make(map[string]int)
	for _, c := range all {
		counts[c.kind()]++
	}
	return counts
}

// bestWay is the best way that an end's relay candidates go to the relay.
func bestWay(all []candidate) string {
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

// milliseconds, to a hundredth: more would be noise.
func milliseconds(seconds float64) float64 { return float64(int64(seconds*1e5+0.5)) / 100 }
