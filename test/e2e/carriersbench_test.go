//go:build linux

package e2e

import (
	"context"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/signaling"
	"github.com/peephole-cam/peephole/signaling/webtransport"
	"github.com/peephole-cam/peephole/test/natlab"
	"github.com/peephole-cam/peephole/test/selfsigned"
)

var carrierRuns = flag.Int("carrier-runs", 40,
	"how often BenchmarkSignalingCarriers connects, posts and moves by each carrier")

// signalEndsBuilt builds test/signalends, once per test process that asks for it.
var signalEndsBuilt = sync.OnceValue(func() error { return buildRig("signalends") })

// carrierScene has a client at home, which can also go elsewhere, and a server that it reaches by two carriers.
type carrierScene struct {
	person          *natlab.Host
	home, elsewhere *natlab.Network
	args            []string // of the client
}

func newCarrierScene(t testing.TB) *carrierScene {
	t.Helper()
	natlab.Need(t)
	if err := signalEndsBuilt(); err != nil {
		t.Fatalf("build test/signalends: %v", err)
	}
	lab := natlab.New(t)
	server := lab.Public("server")
	s := &carrierScene{
		person:    lab.Behind("client", natlab.PortRestricted),
		elsewhere: lab.Behind("other", natlab.PortRestricted).Network(),
	}
	s.home = s.person.Network()

	at := netip.AddrPortFrom(server.IPv4(), 443).String()
	certificate, key := selfsigned.PEM(t, selfsigned.New(t, server.IPv4().String()))
	dir := t.TempDir()
	files := map[string][]byte{"certificate": certificate, "key": key}
	s.args = []string{"-at", at}
	for name, file := range files {
		s.args = append(s.args, "-"+name, filepath.Join(dir, name))
		if err := os.WriteFile(filepath.Join(dir, name), file, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	startBy(t, server.Start, "signalends", append(s.args, "server")...).line(t, "ready")
	return s
}

func (s *carrierScene) start(t testing.TB, carrier string) rig {
	t.Helper()
	c := startRig(t, s.person, "signalends", append(s.args, "client", carrier)...)
	c.line(t, "ready")
	return c
}

// does makes a client do something, and returns how long that took, in ms.
func (r rig) does(t testing.TB, what string) (took float64) {
	t.Helper()
	r.tell(t, what)
	said := r.line(t, "took ")
	if _, err := fmt.Sscan(said, &took); err != nil {
		t.Fatalf("%q: %v", said, err)
	}
	return took
}

// Both carriers connect, carry messages, and go on in another network, again and again: what the benchmark measures
// works.
func TestSignalEndsCarry(t *testing.T) {
	t.Parallel()
	s := newCarrierScene(t)
	for _, carrier := range []string{"websocket", "webtransport"} {
		c := s.start(t, carrier)
		c.does(t, "dial")
		c.does(t, "post")
		for range 2 {
			s.person.Move(s.elsewhere)
			c.does(t, "move")
			s.person.Move(s.home)
			c.does(t, "move")
		}
		c.does(t, "dial")
		c.stop()
	}
}

// BenchmarkSignalingCarriers compares WebTransport with the WebSocket: the time until a mailbox is open (dial), until a
// post of 3 kB has come back (post), and from a change of network until one has (move).
func BenchmarkSignalingCarriers(b *testing.B) {
	s := newCarrierScene(b)
	rows := []string{
		"| delay one way, loss each way | what | WebSocket, p50 and p95 | WebTransport, p50 and p95 | ratio |",
		"|---|---|---|---|---|",
	}
	for _, delay := range []time.Duration{10 * time.Millisecond, 50 * time.Millisecond} {
		for _, loss := range []float64{0, 0.05} {
			b.Run(fmt.Sprintf("%v_%.0f%%", delay, 100*loss), func(b *testing.B) {
				line := natlab.Quality{Delay: delay, Loss: loss}
				s.home.Impair(line, line)
				s.elsewhere.Impair(line, line)
				rows = append(rows, s.compare(b, fmt.Sprintf("| %v, %.0f %%", delay, 100*loss))...)
			})
		}
	}
	fmt.Println("\n" + strings.Join(rows, "\n"))
}

// compare lets both carriers take turns, and returns the rows of the table, which begin as given.
func (s *carrierScene) compare(b *testing.B, begin string) (rows []string) {
	b.Helper()
	webSocket, webTransport := s.start(b, "websocket"), s.start(b, "webtransport")
	defer webSocket.stop()
	defer webTransport.stop()

	for _, what := range []string{"dial", "post", "move"} {
		var took [2][]float64
		for n := range *carrierRuns {
			if what == "move" { // of new connections: quic-go takes few of them a second time
				webSocket.does(b, "dial")
				webTransport.does(b, "dial")
				s.person.Move([]*natlab.Network{s.elsewhere, s.home}[n%2])
			}
			for k := range 2 { // who goes first pays for ARP
				i := (k + n/2) % 2
				took[i] = append(took[i], []rig{webSocket, webTransport}[i].does(b, what))
			}
		}

		row := begin + " | " + what
		var medians [2]float64
		for i, name := range []string{"websocket", "webtransport"} {
			medians[i] = percentile(took[i], 50)
			b.ReportMetric(medians[i], name+"-"+what+"-ms")
			row += fmt.Sprintf(" | %.0f, %.0f ms", medians[i], percentile(took[i], 95))
		}
		rows = append(rows, fmt.Sprintf("%s | %.2f |", row, medians[1]/medians[0]))
	}
	b.Logf("connections that could not move: %d", strings.Count(webTransport.said(), "move: "))
	b.ReportMetric(0, "ns/op")
	return rows
}

// BenchmarkIdleClients measures what a client costs a relay, by each carrier: resident kB while it is idle, and
// microseconds of the relay's processor to connect and to leave.
func BenchmarkIdleClients(b *testing.B) {
	const clients = 500
	for _, carrier := range []string{"websocket", "webtransport"} {
		b.Run(carrier, func(b *testing.B) {
			var memory, work []float64
			for b.Loop() {
				_, _, idle := startRelayOverHTTP3(b)
				idle.stop()
				url, file, relay := startRelayOverHTTP3(b)
				before := statusOf(b, relay, "status", "VmRSS")
				leave := connectIdle(b, clients, carrier, url, file)
				time.Sleep(10 * time.Second) // the collector of a relay at rest runs now and then
				memory = append(memory, float64(statusOf(b, relay, "status", "VmRSS")-before)/clients)
				leave()
				relay.stop()
				work = append(work, float64((processorTime(relay)-processorTime(idle)).Microseconds())/clients)
			}
			b.ReportMetric(percentile(memory, 50), "kB/client")
			b.ReportMetric(percentile(work, 50), "µs/client")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// processorTime returns how long a process that has ended had a processor.
func processorTime(p *process) time.Duration {
	return p.ProcessState.UserTime() + p.ProcessState.SystemTime()
}

// connectIdle connects clients that do nothing until they leave.
func connectIdle(b *testing.B, n int, carrier, url, certificate string) (leave func()) {
	b.Helper()
	trust, err := signaling.TrustFile(certificate)
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	leave = func() { cancel(); running.Wait() }
	b.Cleanup(leave)

	for range n {
		if carrier == "webtransport" {
			c, err := webtransport.Dialer{TLS: trust}.Dial(ctx, strings.TrimPrefix(url, "https://"))
			if err != nil {
				b.Fatal(err)
			}
			running.Go(func() {
				defer c.CloseNow()
				for err := error(nil); err == nil; {
					_, err = c.Read(ctx)
				}
			})
			continue
		}

		c, err := signaling.NewClient(signaling.ClientConfig{URL: url, TLS: trust})
		if err != nil {
			b.Fatal(err)
		}
		running.Go(func() { _ = c.Run(ctx) })
		if err := c.Connect(ctx); err != nil {
			b.Fatal(err)
		}
	}
	return leave
}
