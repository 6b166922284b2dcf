//go:build linux

package punch

import (
	"context"
	"crypto/rand"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/test/natlab"
	"github.com/peephole-cam/peephole/turn"
)

// world is a lab with a relay's two STUN ports.
type world struct {
	lab     *natlab.Lab
	servers []netip.AddrPort
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{lab: natlab.New(t)}
	relay := w.lab.Public("relay")
	for range 2 {
		conn, err := listenOn(relay)(relay.IPv4())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		w.servers = append(w.servers, conn.LocalAddr().(*net.UDPAddr).AddrPort())
		go turn.AnswerBindings(conn)
	}

	return w
}

func listenOn(h *natlab.Host) func(netip.Addr) (*net.UDPConn, error) {
	return func(local netip.Addr) (*net.UDPConn, error) {
		conn, err := h.ListenPacket("udp4", netip.AddrPortFrom(local, 0).String())
		if err != nil {
			return nil, err
		}
		return conn.(*net.UDPConn), nil
	}
}

// agent uses a socket as an ICE agent does.
type agent struct {
	*Conn
	sockets *Sockets
	heard   chan string // what came, "TEXT from ADDRESS"
	way     Way
	token   Token
}

func newAgent(t testing.TB, h *natlab.Host) *agent {
	t.Helper()
	a := &agent{sockets: &Sockets{listen: listenOn(h)}, heard: make(chan string, 64)}
	conn, err := a.sockets.listen(h.IPv4())
	if err != nil {
		t.Fatal(err)
	}

	a.Conn = a.sockets.Wrap(conn)
	rand.Read(a.token[:])
	var reading sync.WaitGroup
	reading.Go(func() {
		b := make([]byte, 1500)
		for {
			n, from, err := a.ReadFromAddrPort(b)
			if err != nil {
				return
			}
			select {
			case a.heard <- string(b[:n]) + " from " + netip.AddrPortFrom(from.Addr().Unmap(), from.Port()).String():
			default:
			}
		}
	})

	t.Cleanup(func() {
		a.Close()
		reading.Wait()
	})
	return a
}

func (a *agent) measure(t testing.TB, w *world) (err error) {
	a.way, err = a.sockets.Measure(t.Context(), w.servers)
	return err
}

// met is the result of a run of two ends.
type met struct {
	a, b     *agent
	toB, toA netip.AddrPort // where each reaches the other
	err      error
	sent     [2]int
	took     time.Duration
}

// meet measures both ends, and lets them run.
func meet(t testing.TB, w *world, here, there *natlab.Host) met {
	t.Helper()
	m := met{a: newAgent(t, here), b: newAgent(t, there)}
	if m.err = errors.Join(m.a.measure(t, w), m.b.measure(t, w)); m.err != nil {
		return m
	}
	began := time.Now()
	runs := [2]Run{
		{
			Own:   m.a.way,
			Other: m.b.way.Side,
			First: true,
			Send:  m.b.token,
			Want:  m.a.token,
		},
		{Own: m.b.way, Other: m.a.way.Side, Send: m.a.token, Want: m.b.token},
	}
	var both sync.WaitGroup
	var errs [2]error
	both.Go(func() { m.toB, errs[0] = runs[0].Do(t.Context()) })
	both.Go(func() { m.toA, errs[1] = runs[1].Do(t.Context()) })
	both.Wait()
	m.err, m.took, m.sent = errors.Join(errs[:]...), time.Since(began), [2]int{runs[0].sent, runs[1].sent}

	return m
}

// talks reports whether packets between the agents arrive, to and from the addresses that the run found.
func (m met) talks(t testing.TB) bool {
	t.Helper()
	return says(t, m.a, m.toB, m.b, m.toA) && says(t, m.b, m.toA, m.a, m.toB)
}

// patience ends what hangs.
const patience = 2 * time.Minute

func says(t testing.TB, from *agent, to netip.AddrPort, hears *agent, at netip.AddrPort) bool {
	t.Helper()
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	late := time.After(patience)
	for {
		select {
		case text := <-hears.heard:
			if strings.HasPrefix(text, "hello ") { // and not a STUN server's second answer
				return text == "hello from "+at.String()
			}
		case <-again.C:
			if _, err := from.WriteToAddrPort([]byte("hello"), to); err != nil {
				t.Fatal(err)
			}
		case <-late:
			return false
		}
	}
}

var crossed = []struct{ here, there natlab.Kind }{
	{natlab.PortRestricted, natlab.SymmetricRandom},
	{natlab.SymmetricRandom, natlab.CarrierGrade},
	{natlab.Firewall.WithoutIPv6(), natlab.SymmetricRandom},
	{natlab.PortRestricted, natlab.SymmetricSequential},
	{natlab.SymmetricSequential, natlab.PortRestricted},
	{natlab.SymmetricSequential, natlab.SymmetricSequential},
}

// TestEndsMeetWhereICECannot: two ends that ICE alone cannot connect find each other within the budget. (A run that
// depends on chance fails once in 3000, so it may be repeated.)
func TestEndsMeetWhereICECannot(t *testing.T) {
	t.Parallel()
	for _, tt := range crossed {
		t.Run(tt.here.Name+" and "+tt.there.Name, func(t *testing.T) {
			t.Parallel()
			if natlab.Traversable(tt.here, tt.there) || !natlab.Guessable(tt.here, tt.there) {
				t.Fatal("theory says otherwise")
			}
			w := newWorld(t)
			here, there := w.lab.Behind("here", tt.here), w.lab.Behind("there", tt.there)
			m := meet(t, w, here, there)
			for tries := 1; m.err != nil && tries < 3; tries++ {
				m = meet(t, w, here, there)
			}

			if m.err != nil || !m.talks(t) {
				t.Errorf("%v; %v, %v", m.err, m.a.way.Side, m.b.way.Side)
			}
			if max(m.sent[0], m.sent[1]) > randomProbes+maxReplies {
				t.Errorf("%v packets were sent", m.sent)
			}
			t.Logf("%v, %v packets", m.took, m.sent)
		})
	}
}

// TestRunIsPossibleWhereTheorySaysSo: what is measured on every kind of network makes a run possible exactly where it
// can succeed in theory.
func TestRunIsPossibleWhereTheorySaysSo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var kinds []natlab.Kind
	var sides []Side
	for _, k := range natlab.Kinds() {
		if !k.IPv4 || !k.UDP {
			continue
		}
		a := newAgent(t, w.lab.Behind("host", k))
		if err := a.measure(t, w); err != nil {
			t.Fatal(err)
		}
		kinds, sides = append(kinds, k), append(sides, a.way.Side)
	}

	possible := 0
	for i, a := range kinds {
		for j, b := range kinds {
			// Over IPv6, or through a filter that ignores the port, there is a path without punching.
			if want := natlab.Guessable(a, b); want != Possible(sides[i], sides[j]) && !natlab.Traversable(a, b) {
				t.Errorf("%s and %s: possible %v; theory says %v; %v, %v", a.Name, b.Name, !want, want, sides[i],
					sides[j])
			} else if want {
				possible++
			}
		}
	}

	if possible < 10 {
		t.Errorf("only %d pairs can be punched", possible)
	}
}

// TestStrangersProbesMakeNoHole: probes with another token make no hole, and a run without a peer ends.
func TestStrangersProbesMakeNoHole(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := met{
		a: newAgent(t, w.lab.Behind("here", natlab.PortRestricted)),
		b: newAgent(t, w.lab.Behind("there", natlab.SymmetricSequential)),
	}
	if err := errors.Join(m.a.measure(t, w), m.b.measure(t, w)); err != nil {
		t.Fatal(err)
	}

	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	var both sync.WaitGroup
	var errs [2]error
	both.Go(func() {
		_, errs[0] = (&Run{
			Own:   m.a.way,
			Other: m.b.way.Side,
			First: true,
			Send:  m.a.token,
			Want:  m.a.token,
		}).Do(ctx)
	})

	both.Go(func() {
		_, errs[1] = (&Run{Own: m.b.way, Other: m.a.way.Side, Send: m.b.token, Want: m.b.token}).Do(ctx)
	})
	both.Wait()
	if !errors.Is(errs[0], ErrNoHole) || !errors.Is(errs[1], ErrNoHole) {
		t.Errorf("%v", errs)
	}

	if m.b.hole.Load() != nil {
		t.Error("a hole was made")
	}
}

// BenchmarkMeet measures how often two ends come together: go test ./nat/punch -run '^$' -bench Meet -benchtime 20x
func BenchmarkMeet(b *testing.B) {
	for _, line := range []struct {
		name string
		is   natlab.Quality
	}{
		{"", natlab.Quality{}},
		// on each of two lines
		{", 5 % loss and 50 ms each way", natlab.Quality{Loss: 0.05, Delay: 25 * time.Millisecond}},
	} {
		for _, tt := range crossed {
			b.Run(tt.here.Name+" and "+tt.there.Name+line.name, func(b *testing.B) {
				w := newWorld(b)
				here, there := w.lab.Behind("here", tt.here), w.lab.Behind("there", tt.there)
				here.Network().Impair(line.is, line.is)
				there.Network().Impair(line.is, line.is)
				measureMeetings(b, w, here, there)
			})
		}
	}
}

func measureMeetings(b *testing.B, w *world, here, there *natlab.Host) {
	b.Helper()
	found, took, sent := 0, time.Duration(0), 0
	for b.Loop() {
		m := meet(b, w, here, there)
		if m.err == nil && m.talks(b) {
			found++
			took += m.took
		}

		sent += m.sent[0] + m.sent[1]
		m.a.Close()
		m.b.Close()
	}

	b.ReportMetric(float64(found), "found")
	b.ReportMetric(took.Seconds()/float64(max(found, 1)), "s/found")
	b.ReportMetric(float64(sent)/float64(b.N), "packets/op")
}
