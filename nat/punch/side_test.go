package punch

import (
	"context"
	"errors"
	"net/netip"
	"testing"
)

func side(at string, p Ports, stride uint16) Side {
	return Side{At: netip.MustParseAddrPort(at), Ports: p, Stride: stride}
}

func TestSideMustBeUsableAndPublic(t *testing.T) {
	for _, tt := range []struct {
		name string
		side Side
		want bool
	}{
		{"steady", side("203.0.113.7:50000", Steady, 0), true},
		{"random", side("203.0.113.7:1024", Random, 0), true},
		{"counted", side("203.0.113.7:65535", Sequential, 1), true},
		{"counted by many", side("203.0.113.7:5000", Sequential, maxStride+1), false},
		{"counted by none", side("203.0.113.7:5000", Sequential, 0), false},
		{"a stride of nothing", side("203.0.113.7:5000", Random, 1), false},
		{"a server's port", side("203.0.113.7:53", Steady, 0), false},
		{"everybody", side("224.0.0.1:5000", Steady, 0), false},
		{"broadcast", side("255.255.255.255:5000", Steady, 0), false},
		{"this machine", side("127.0.0.1:5000", Steady, 0), false},
		{"a household's host", side("192.168.1.1:5000", Random, 0), false},
		{"an office's", side("10.1.2.3:5000", Steady, 0), false},
		{"a carrier's inside", side("100.64.0.1:5000", Random, 0), false},
		{"this network", side("0.1.2.3:5000", Random, 0), false},
		{"reserved", side("240.0.0.1:5000", Random, 0), false},
		{"IPv6", side("[2001:db8::1]:5000", Steady, 0), false},
		{"of no kind", side("203.0.113.7:5000", "even", 0), false},
		{"nothing", Side{}, false},
	} {
		if got := tt.side.Valid(); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

func TestNumberingIsConcludedFromPorts(t *testing.T) {
	for _, tt := range []struct {
		name   string
		ports  []uint16
		want   Ports
		stride uint16
	}{
		{"by one", []uint16{5000, 5001, 5002, 5003}, Sequential, 1},
		{"by two", []uint16{5000, 5002, 5004, 5006}, Sequential, 2},
		{"by one, and others use it too", []uint16{5000, 5003, 5004, 5010}, Sequential, 1},
		{"over the end", []uint16{65534, 65535, 0, 2}, Sequential, 1},
		{"random", []uint16{5000, 50001, 1234, 40000}, Random, 0},
		{"down", []uint16{5003, 5002, 5001, 5000}, Random, 0},
		{"the same again", []uint16{5000, 5000, 5001, 5002}, Random, 0},
		{"too few", []uint16{5000}, Random, 0},
	} {
		if p, stride := numbering(tt.ports); p != tt.want || stride != tt.stride {
			t.Errorf("%s: %s, %d", tt.name, p, stride)
		}
	}
}

// TestEndsAgreeOnTheirRoles: of two ends that can be connected, one seeks and one spreads, and both know which.
func TestEndsAgreeOnTheirRoles(t *testing.T) {
	steady, random, counted := side("203.0.113.7:50000", Steady, 0), side("203.0.113.8:50000", Random, 0),
		side("203.0.113.9:50000", Sequential, 1)
	for _, tt := range []struct {
		name     string
		own, oth Side
		want     [2]role // of the first and the second
	}{
		{"ICE's", steady, steady, [2]role{idle, idle}},
		{"steady and random", steady, random, [2]role{seeker, spreader}},
		{"random and steady", random, steady, [2]role{spreader, seeker}},
		{"counted and steady", counted, steady, [2]role{spreader, seeker}},
		{"both counted", counted, counted, [2]role{seeker, spreader}},
		{"both random", random, random, [2]role{idle, idle}},
		{"counted and random", counted, random, [2]role{idle, idle}},
		{"invalid", steady, Side{}, [2]role{idle, idle}},
	} {
		if got := [2]role{roles(tt.own, tt.oth, true), roles(tt.oth, tt.own, false)}; got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
		if Possible(tt.own, tt.oth) != (tt.want[0] != idle) || Possible(tt.oth, tt.own) != (tt.want[0] != idle) {
			t.Errorf("%s: possible %v", tt.name, Possible(tt.own, tt.oth))
		}
	}
}

// TestGuessesFollowTheCount: guesses are within the budget and all different. Those for a count follow it, even past
// the last port.
func TestGuessesFollowTheCount(t *testing.T) {
	for _, tt := range []struct {
		of   Side
		want int
	}{
		{side("203.0.113.7:50000", Random, 0), randomProbes},
		{side("203.0.113.7:50000", Sequential, 1), countProbes},
		{side("203.0.113.7:65530", Sequential, 16), countProbes},
	} {
		seen := make(map[netip.AddrPort]bool)
		for _, a := range guesses(tt.of) {
			if a.Addr() != tt.of.At.Addr() || a.Port() < firstPort || seen[a] {
				t.Fatalf("%v: guess %v", tt.of, a)
			}
			seen[a] = true
		}

		if len(seen) != tt.want {
			t.Errorf("%v: %d guesses", tt.of, len(seen))
		}
		if first := guesses(tt.of)[0]; tt.of.Ports == Sequential && first != tt.of.after(1) {
			t.Errorf("%v: %v is guessed first", tt.of, first)
		}
	}
	for n, want := range map[int]string{1: "203.0.113.7:65535", 2: "203.0.113.7:1024", 3: "203.0.113.7:1025"} {
		if got := side("203.0.113.7:65534", Sequential, 1).after(n); got.String() != want {
			t.Errorf("%d after: %v, want %s", n, got, want)
		}
	}
}

// TestCountsMeetDespiteDrift: however far two counts have moved on, within the drift that is allowed for, one of the
// seeker's guesses meets a port from which the spreader has sent to the port that this guess comes from.
func TestCountsMeetDespiteDrift(t *testing.T) {
	a, b := side("203.0.113.7:20000", Sequential, 1), side("203.0.113.8:30000", Sequential, 1)
	for _, drift := range [][2]int{{0, 0}, {5, 0}, {0, 5}, {16, 15}, {31, 0}, {-3, -3}, {30, -20}} {
		meet := 0
		for n, guess := range guesses(b) { // the seeker's n-th mapping
			from := a.after(n + 1 + drift[0])
			for m := 1; m <= countSockets; m++ {
				if guess == b.after(m+drift[1]) && from == target(a) {
					meet++
				}
			}
		}

		if meet != 1 {
			t.Errorf("drift %v: they meet %d times", drift, meet)
		}
	}
}

// TestRunsAreBounded: a process takes part in only so many runs at a time in each role. Runs in the other role do not
// count, and neither do those that have ended.
func TestRunsAreBounded(t *testing.T) {
	random, steady := side("203.0.113.8:50000", Random, 0), side("203.0.113.7:50000", Steady, 0)
	for does, sides := range map[role][2]Side{spreader: {random, steady}, seeker: {steady, random}} {
		plain, _ := loopback(t)
		c := NewSockets().Wrap(plain)
		defer c.Close()
		for range maxRuns {
			running[does] <- struct{}{}
		}

		r := Run{Own: Way{sides[0], c}, Other: sides[1]}
		if _, err := r.Do(t.Context()); !errors.Is(err, ErrBusy) || r.sent > 0 {
			t.Errorf("role %d: %v, %d sent", does, err, r.sent)
		}
		for range maxRuns {
			<-running[does]
		}

		ended, end := context.WithCancel(t.Context())
		end()
		for range maxRuns + 1 {
			if _, err := r.Do(ended); !errors.Is(err, ErrNoHole) {
				t.Errorf("role %d: %v", does, err)
			}
		}
	}
}

func FuzzPacket(f *testing.F) {
	token := Token{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}
	f.Add(appendPacket(probe, token))
	f.Fuzz(func(t *testing.T, b []byte) {
		if !ours(b) {
			return
		}
		if k, ok := parse(b, token); ok && string(appendPacket(k, token)) != string(b) {
			t.Errorf("%x was taken for a packet with the token", b)
		}
	})
}
