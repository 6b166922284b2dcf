package turn

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"strings"
	"testing"
)

// kinds are all the ways to serve the UDP port.
var kinds = map[string]socketKind{
	"all":       {},
	"many":      {workers: 5},
	"one":       {workers: 1},
	"no GRO":    {noGRO: true},
	"no GSO":    {noGSO: true},
	"mmsg only": {noGRO: true, noGSO: true},
	"portable":  {portable: true},
}

// numbered returns the data of packet i: its number, and a random amount of filler.
func numbered(i int) string {
	r := rand.New(rand.NewPCG(uint64(i), 1))
	n := []int{0, 1, 2, 3, 100, 100, 100, 1196, 1200}[r.IntN(9)]
	if i%64 > 32 {
		n = 500 // a row of equal ones
	}
	return string(binary.BigEndian.AppendUint32(nil, uint32(i))) + strings.Repeat(string(rune('a'+i%26)), n)
}

// TestFlowsStayInOrder: packets of one flow arrive whole and in order, however they come in, are cut and are sent on.
func TestFlowsStayInOrder(t *testing.T) {
	for name, kind := range kinds {
		t.Run(name, func(t *testing.T) {
			s := serve(t, Config{sockets: kind})
			for _, over := range [][2]string{
				{"udp", "udp"},
				{"udp", "tcp"},
				{"tcp", "udp"},
				{"tls", "tls"},
				{"udp", "udp4"}, // by indications
			} {
				t.Run(over[0]+" to "+over[1], func(t *testing.T) {
					byChannel := over[1] != "udp4"
					cam, view := pair(t, s, over[0], strings.TrimSuffix(over[1], "4"))
					permitBoth(cam, view)
					if byChannel {
						bindBoth(cam, 0x4000, view, 0x4001)
					}

					for i := range 512 {
						if byChannel && (i%5 != 0 || withXDP) { // with XDP, channels are faster than indications
							cam.sendChannel(0x4000, numbered(i))
						} else {
							cam.send(peerAt(view.relayed), numbered(i))
						}

						if i%64 != 63 { // few enough under way for any buffer
							continue
						}
						for j := i - 63; j <= i; j++ {
							got := view.receive()
							if got.data != numbered(j) || (got.channel == 0x4001) != byChannel {
								t.Fatalf("packet %d: %d bytes by channel %x, number %x, want %d", j, len(got.data),
									got.channel, got.data[:4], len(numbered(j)))
							}
						}
					}
				})
			}
		})
	}
}

// TestSlowClientDelaysNobody: a client that does not read loses its packets, which is counted, and delays nobody: no
// other session, and no other client of its own.
func TestSlowClientDelaysNobody(t *testing.T) {
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
					bindBoth(from, channel, to, 0x4000)
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
				t.Errorf("nothing was dropped, so this test shows nothing: %+v", s.Stats())
			})
		}
	}
}

// late is an outlet that reads its packets only when it is flushed, as late as any outlet may.
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

// TestStreamPacketsStayInPlaceUntilSent: a stream's packets stay where they came in until they are sent, even when the
// buffer turns out to be too small, and however the stream is cut. Requests between them are read in order.
func TestStreamPacketsStayInPlaceUntilSent(t *testing.T) {
	var n counters
	r := newRelay(Config{}.withDefaults(), &n)
	cam, view := bound(t, r, 1, camera), bound(t, r, 1, viewer)
	cam.addChannel(view.host, 0x4000)
	view.addChannel(cam.host, 0x4001)
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

// TestManyStreamsLoseNothing: a round with packets for more streams than maxBundles loses none.
func TestManyStreamsLoseNothing(t *testing.T) {
	var n counters
	l := &streams{counters: &n} // its queues have no room, so that every packet is counted
	var all bundles
	for i := range 5 * maxBundles {
		all.collect(&stream{listener: l}, packet{})
		if i == 0 || all.used > maxBundles {
			all.collect(all.list[0].to, packet{})
		}
	}

	all.flush()
	if got := n.snapshot().Drops["queue_full"]; got != 5*maxBundles+1 || len(all.list) > maxBundles {
		t.Errorf("%d packets reached their queues, in %d bundles", got, len(all.list))
	}
}
