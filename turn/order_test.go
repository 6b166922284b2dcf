package turn

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"strings"
	"testing"
)

// kinds are all ways to serve the UDP port.
var kinds = map[string]socketKind{
	"all":       {},
	"many":      {workers: 5},
	"one":       {workers: 1},
	"no GRO":    {noGRO: true},
	"no GSO":    {noGSO: true},
	"mmsg only": {noGRO: true, noGSO: true},
	"portable":  {portable: true},
}

// numbered is the data of packet i: its number, and as much more as chance will have.
func numbered(i int) string {
	r := rand.New(rand.NewPCG(uint64(i), 1))
	n := []int{0, 1, 2, 3, 100, 100, 100, 1196, 1200}[r.IntN(9)]
	if i%64 > 32 {
		n = 500 // and a row of equal ones
	}
	return string(binary.BigEndian.AppendUint32(nil, uint32(i))) + strings.Repeat(string(rune('a'+i%26)), n)
}

// TestOrder: packets of one flow arrive whole and in order, however they come, are cut and are sent on.
func TestOrder(t *testing.T) {
	for name, kind := range kinds {
		t.Run(name, func(t *testing.T) {
			s := serve(t, Config{sockets: kind, TLSAddress: "127.0.0.1:0", TLS: certificate(t)})
			for _, over := range [][2]string{{"udp", "udp"}, {"udp", "tcp"}, {"tcp", "udp"}, {"tls", "tls"}, {"udp", "udp4"}} {
				t.Run(over[0]+" to "+over[1], func(t *testing.T) {
					byChannel := over[1] != "udp4"
					cam, view := pair(t, s, over[0], strings.TrimSuffix(over[1], "4"))
					if a, b := cam.permit(peerAt(view.relayed)), view.permit(peerAt(cam.relayed)); a+b != 0 {
						t.Fatal(a, b)
					}
					if byChannel {
						if a, b := cam.bind(0x4000, peerAt(view.relayed)), view.bind(0x4001, peerAt(cam.relayed)); a+b != 0 {
							t.Fatal(a, b)
						}
					}
					for i := range 512 {
						if byChannel && (i%5 != 0 || express) { // of two ways, one is faster
							cam.sendChannel(0x4000, numbered(i))
						} else {
							cam.send(peerAt(view.relayed), numbered(i))
						}
						if i%64 != 63 { // as many under way as no buffer is too small for
							continue
						}
						for j := i - 63; j <= i; j++ {
							got := view.receive()
							if got.data != numbered(j) || (got.channel == 0x4001) != byChannel {
								t.Fatalf("packet %d: %d bytes by channel %x, number %x, want %d", j, len(got.data), got.channel, got.data[:4], len(numbered(j)))
							}
						}
					}
				})
			}
		})
	}
}

// TestSlowClient: who does not read loses what is for him, counted, and delays nobody: not other sessions, nor the other clients of
// his own.
func TestSlowClient(t *testing.T) {
	for name, kind := range map[string]socketKind{"all": {}, "portable": {portable: true}} {
		for _, over := range []string{"udp", "tcp"} {
			t.Run(name+" from "+over, func(t *testing.T) {
				s := serve(t, Config{sockets: kind})
				cam, slow := pair(t, s, over, "tcp")
				quick := dial(t, s, "udp", slow.cred)
				if code := quick.allocate(); code != 0 {
					t.Fatal(code)
				}
				otherCam, otherView := pair(t, s, over, "tcp")
				connect := func(from *client, channel uint16, to *client) {
					t.Helper()
					if a, b := from.bind(channel, peerAt(to.relayed)), to.bind(0x4000, peerAt(from.relayed)); a+b != 0 {
						t.Fatal(a, b)
					}
				}
				connect(cam, 0x4000, slow)
				connect(cam, 0x4001, quick)
				connect(otherCam, 0x4000, otherView)
				long := strings.Repeat("x", 1200)
				for range 1000 {
					for range 32 {
						cam.sendChannel(0x4000, long)
					}
					cam.sendChannel(0x4001, "still here")
					otherCam.sendChannel(0x4000, "here too")
					if a, b := quick.receive(), otherView.receive(); a.data != "still here" || b.data != "here too" {
						t.Fatalf("%q, %q", a.data, b.data)
					}
					if s.Stats().Drops["queue_full"] > 1000 {
						return
					}
				}
				t.Errorf("nothing is dropped: the slow client takes it all, or nothing is shown; %+v", s.Stats())
			})
		}
	}
}

// late is an outlet that looks at what it was given when it is flushed, as late as any may.
type late struct {
	kept
	sent []string
}

func (l *late) flush() {
	for _, m := range l.packets {
		l.sent = append(l.sent, string(m.body[channelHeader:]))
	}
	l.packets = l.packets[:0]
}

// TestStreamOrder: a stream's packets lie where they came in until they are sent, also when the buffer turns out to be too small
// and however the stream is cut; requests between them are read in turn.
func TestStreamOrder(t *testing.T) {
	var n counters
	r := newRelay(Config{}.withDefaults(), &n)
	cam, view := bound(t, r, 1, camera), bound(t, r, 1, viewer)
	cam.open(view.host, 0x4000)
	view.open(cam.host, 0x4001)
	var said []byte
	const packets = 400
	for i := range packets {
		data := numbered(i)
		said = append(said, 0x40, 0, byte(len(data)>>8), byte(len(data)))
		said = append(append(said, data...), zeros[:padded(len(data))-len(data)]...)
		if i%50 == 49 {
			said = append(said, message(0x0001, "")...)
		}
	}
	for name, size := range map[string]int{"at once": len(said), "in pieces": 777, "in halves of headers": 2} {
		t.Run(name, func(t *testing.T) {
			out := new(late)
			l := &streams{counters: &n, relay: r}
			l.outlets.New = func() any { return out }
			c := script{in: bytes.NewReader(said), piece: size}
			s := &stream{Conn: c, listener: l, in: bufio.NewReader(c)}
			s.allocation.Store(cam)
			for i := range packets / 50 {
				if got, err := s.Read(make([]byte, maxMessage+1)); got != 20 || err != nil {
					t.Fatalf("request %d: %d bytes, %v", i, got, err)
				}
				if len(out.sent) != 50*(i+1) {
					t.Errorf("%d packets were sent before request %d", len(out.sent), i)
				}
			}
			for i, got := range out.sent {
				if got != numbered(i) {
					t.Fatalf("packet %d is %d bytes, want %d", i, len(got), len(numbered(i)))
				}
			}
			if grown := s.in.Size() == busyBuffer; grown != (size > busyBuffer) {
				t.Errorf("a buffer of %d bytes", s.in.Size())
			}
		})
	}
}

// TestManyStreams: a round for more streams than are looked through loses nothing.
func TestManyStreams(t *testing.T) {
	var n counters
	l := &streams{counters: &n} // whose queues have no room, so that all is counted
	var all bundles
	for i := range 5 * mostBundles {
		all.add(&stream{listener: l}, packet{})
		if i == 0 || all.used > mostBundles {
			all.add(all.list[0].to, packet{})
		}
	}
	all.flush()
	if got := n.snapshot().Drops["queue_full"]; got != 5*mostBundles+1 || len(all.list) > mostBundles {
		t.Errorf("%d packets came to their queues, %d bundles", got, len(all.list))
	}
}
