//go:build !race

// Under the race detector, a flood is too slow to reach every limit.

package server

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/peephole-cam/peephole/signaling"
)

// flood is the worst that strangers can do, from the addresses that from returns.
type flood struct {
	city *city
	from func(i int) netip.Addr

	refused, tried atomic.Int64
	cancel         context.CancelFunc
	running        sync.WaitGroup
}

// crimes are what one connection can do to harm a relay. Each goes on until it is refused.
var crimes = map[string]func(ctx context.Context, w *city, c *citizen) error{
	"mailboxes": func(ctx context.Context, w *city, c *citizen) error {
		return c.open(ctx, w, newMailbox(), signaling.Read)
	},
	"messages for a day": func(ctx context.Context, w *city, c *citizen) error {
		mb := newMailbox()
		if err := c.open(ctx, w, mb, signaling.Write); err != nil {
			return err
		}
		for range 30 {
			post := signaling.Post{ID: 1, Name: mb.Name(), TTL: signaling.MaxTTL, Body: make([]byte, signaling.MaxBody)}
			if err := c.ask(ctx, post); err != nil {
				return err
			}
		}

		return nil
	},
	"short messages": func(ctx context.Context, w *city, c *citizen) error {
		mb := newMailbox()
		if err := c.open(ctx, w, mb, signaling.Write); err != nil {
			return err
		}
		for range 300 {
			if err := c.ask(ctx, signaling.Post{ID: 1, Name: mb.Name(), TTL: 60, Body: []byte{1}}); err != nil {
				return err
			}
		}

		return nil
	},
	"pairings": func(ctx context.Context, w *city, c *citizen) error {
		return c.open(ctx, w, with(newMailbox(), []byte(signaling.PairingTicket)), signaling.Read)
	},
	"forged opens": func(ctx context.Context, w *city, c *citizen) error {
		mb := newMailbox()
		f := signaling.SignOpen(w.url, c.nonce, mb, signaling.Read)
		rand.Read(f.Signature)
		for {
			if err := c.send(ctx, f); err != nil {
				return err
			}
		}
	},
	"half a frame": func(ctx context.Context, _ *city, c *citizen) error {
		out, err := c.ws.Writer(ctx, websocket.MessageBinary)
		if err == nil {
			_, err = out.Write(make([]byte, signaling.MaxBody))
		}
		if err != nil {
			return err
		}
		<-ctx.Done()
		return ctx.Err()
	},
	"deaf readers": func(ctx context.Context, w *city, c *citizen) error {
		mb := newMailbox()
		for _, access := range []signaling.Access{signaling.Read, signaling.Write} {
			if err := c.open(ctx, w, mb, access); err != nil {
				return err
			}
		}

		for { // without reading the answers and the deliveries
			post := signaling.Post{ID: 1, Name: mb.Name(), Body: make([]byte, signaling.MaxBody)}
			if err := c.send(ctx, post); err != nil {
				return err
			}
		}
	},
}

// start begins all crimes, each on several connections.
func (f *flood) start(each int) {
	ctx, cancel := context.WithCancel(context.Background())
	f.cancel = cancel
	i := 0
	for name, crime := range crimes {
		keep := time.Second // it keeps what it has
		if name == "forged opens" {
			keep = 0 // it has nothing
		}
		for range each {
			from := f.from(i)
			i++
			f.running.Go(func() { f.commit(ctx, from, keep, crime) })
		}
	}
}

// commit lets one stranger try again and again, each time on a new connection. When refused, the stranger keeps for a
// while what it has.
func (f *flood) commit(ctx context.Context, from netip.Addr, keep time.Duration,
	crime func(context.Context, *city, *citizen) error) {
	for ctx.Err() == nil {
		f.tried.Add(1)
		c, err := f.city.dial(ctx, from)
		if err != nil {
			f.refused.Add(1)
			pause(ctx, 200*time.Millisecond)
			continue
		}

		for err == nil {
			err = crime(ctx, f.city, c)
		}
		f.refused.Add(1)
		if ctx.Err() == nil {
			pause(ctx, keep)
		}
		c.stop()
	}
}

func (f *flood) stop() {
	f.cancel()
	f.running.Wait()
}

// strangers are those who flood a relay.
var strangers = map[string]func(i int) netip.Addr{
	"one IPv4 address": func(int) netip.Addr { return netip.MustParseAddr("198.18.7.7") },
	"one IPv6 /64":     func(i int) netip.Addr { return netip.MustParseAddr(fmt.Sprintf("2001:db8:8007:7::%x", i+1)) },
	"one IPv6 /48":     func(i int) netip.Addr { return netip.MustParseAddr(fmt.Sprintf("2001:db8:8007:%x::1", i)) },
}

// TestHonestClientsLoseNothingBesideAFlood: one address, or one /48, does its worst in every possible way at once.
// Clients that are connected, or connect meanwhile, are refused nothing, and miss nothing.
func TestHonestClientsLoseNothingBesideAFlood(t *testing.T) {
	for name, from := range strangers {
		if testing.Short() && name != "one IPv6 /48" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
			defer cancel()
			w := newTown(t, Config{Memory: 128 << 20})
			settle := func(i int) *home {
				camera := netip.MustParseAddr(fmt.Sprintf("198.19.0.%d", i+1))
				viewer := netip.MustParseAddr(fmt.Sprintf("2001:db8:8001:%x::1", i))
				h, err := w.settle(ctx, camera, viewer, nil)
				if err != nil {
					t.Fatalf("home %d: %v", i, err)
				}
				t.Cleanup(h.stop)
				return h
			}
			homes := []*home{settle(0), settle(1)}

			f := &flood{city: &w.city, from: from}
			f.start(25)
			defer f.stop()
			until(t, "the flood is refused something of each kind", func() bool {
				s := &w.Stats
				return s.RefusedConnections.Load() > 0 && s.RefusedMessages.Load() > 0 && s.RefusedMailboxes.Load() > 0
			})

			rounds := 20
			if testing.Short() {
				rounds = 5
			}
			for i := range rounds {
				if i%5 == 0 {
					homes = append(homes, settle(2+i))
				}
				for j, h := range homes {
					if err := h.session(ctx); err != nil {
						t.Fatalf("session %d of home %d: %v", i, j, err)
					}
				}
			}
			t.Logf("%d connections tried, %d refused or ended", f.tried.Load(), f.refused.Load())
		})
	}
}

// floodEnv is the environment variable that makes this program a flood and nothing else. Its value names the relay, and
// the addresses of the flood.
const floodEnv = "SIGNALING_SERVER_FLOOD"

func init() {
	if said := os.Getenv(floodEnv); said != "" {
		floodProcess(said)
	}
}

// floodProcess runs the flood that floodEnv describes. It ends when the process is killed.
func floodProcess(said string) {
	var from string
	c := &city{url: "http://relay.lab:7880", at: make(map[int]string)}
	c.connect = func(d net.Dialer, network, address string) (net.Conn, error) { return d.Dial(network, address) }
	var four, six string
	if _, err := fmt.Sscanf(said, "%s %s %q", &four, &six, &from); err != nil {
		panic(err)
	}

	c.at[4], c.at[6] = four, six
	f := &flood{city: c, from: strangers[from]}
	f.start(25)
	f.running.Wait()
}

// BenchmarkSessionBesideAFlood measures honest sessions, alternately with and without a flood. The flood is a process
// that is stopped and continued. It runs at low priority, since in reality it would compute on the strangers' machines.
func BenchmarkSessionBesideAFlood(b *testing.B) {
	for name := range strangers {
		b.Run(name, func(b *testing.B) {
			w := newTown(b, Config{Memory: 128 << 20})
			h, err := w.settle(b.Context(), netip.MustParseAddr("198.19.0.1"), netip.MustParseAddr("2001:db8:8001::1"),
				nil)
			if err != nil {
				b.Fatal(err)
			}
			defer h.stop()

			self, err := os.Executable()
			if err != nil {
				b.Fatal(err)
			}
			flood := exec.Command("nice", "-n", "10", self)
			flood.Env = append(os.Environ(), fmt.Sprintf("%s=%s %s %q", floodEnv, w.at[4], w.at[6], name))
			if err := w.host.Start(flood); err != nil {
				b.Fatal(err)
			}
			defer flood.Wait()
			defer flood.Process.Kill()

			for w.Stats.RefusedMessages.Load() == 0 || w.Stats.RefusedConnections.Load() == 0 {
				time.Sleep(10 * time.Millisecond)
			}

			var took [2][]time.Duration // without the flood, and beside it
			forged := w.Stats.BadSignatures.Load()
			for b.Loop() {
				for beside, signal := range []syscall.Signal{syscall.SIGSTOP, syscall.SIGCONT} {
					if err := flood.Process.Signal(signal); err != nil {
						b.Fatal(err)
					}
					time.Sleep(100 * time.Millisecond) // until what is under way has ended
					for range 200 {
						begun := time.Now()
						if err := h.session(b.Context()); err != nil {
							b.Fatal(err)
						}
						took[beside] = append(took[beside], time.Since(begun))
					}
				}
			}

			median := func(all []time.Duration) float64 {
				slices.Sort(all)
				return float64(all[len(all)/2].Microseconds())
			}
			without, beside := median(took[0]), median(took[1])
			b.ReportMetric(float64(w.Stats.BadSignatures.Load()-forged)/b.Elapsed().Seconds(), "forged/s")
			b.ReportMetric(without, "µs/without")
			b.ReportMetric(beside, "µs/beside")
			b.ReportMetric(100*(beside/without-1), "%slower")
			b.ReportMetric(0, "ns/op")
		})
	}
}
