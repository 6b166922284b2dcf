package turn

import (
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
