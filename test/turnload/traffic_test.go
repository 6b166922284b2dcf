//go:build linux

package turnload

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/pion/stun/v3"

	"github.com/peephole-cam/peephole/test/selfsigned"
	"github.com/peephole-cam/peephole/turn"
)

// serve runs a server of ours over UDP, TCP and TLS, until the test ends.
func serve(t *testing.T, keys *turn.Keys) (udp, tcp, secure netip.AddrPort) {
	t.Helper()
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	overTLS, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{selfsigned.New(t, "relay.example")},
	})
	if err != nil {
		t.Fatal(err)
	}
	s, err := turn.New(turn.Config{Address: "127.0.0.1:0", Keys: keys, Streams: []net.Listener{plain, overTLS}})
	if err != nil {
		t.Fatal(err)
	}

	ctx, stop := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ran; err != nil {
			t.Error(err)
		}
	})

	at := func(l net.Listener) netip.AddrPort { return l.Addr().(*net.TCPAddr).AddrPort() }
	return s.Addresses().UDP, at(plain), at(overTLS)
}

// sessions runs a server of ours and returns a load of clients for it. by is the transports of a session's two ends.
func sessions(t *testing.T, clients int, by [2]Transport) *Load {
	t.Helper()
	keys, err := turn.NewKeys(make([]byte, turn.MinSecret), nil)
	if err != nil {
		t.Fatal(err)
	}
	udp, tcp, secure := serve(t, keys)

	grants := make([]turn.Grant, clients/2)
	for i := range grants {
		if grants[i], err = keys.Grant("", time.Now(), time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	c := Config{
		Server:  udp,
		Clients: clients,
		First:   netip.MustParseAddr("127.3.0.250"),
		Secure:  secure,
		Credentials: func(i int) (string, string) {
			if i%2 == 0 {
				return grants[i/2].Camera.Username, grants[i/2].Camera.Password
			}
			return grants[i/2].Viewer.Username, grants[i/2].Viewer.Password
		},
	}
	if by != [2]Transport{} {
		c.By = func(i int) Transport { return by[i%2] }
		c.Plain = tcp
	}

	l, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	if err := l.Allocate(); err != nil {
		t.Fatal(err)
	}
	return l
}

func TestTrafficIsDeliveredAndCounted(t *testing.T) {
	for _, tt := range []struct {
		name    string
		connect func(*Load) error
	}{
		{"channels", (*Load).BindChannels},
		{"indications", (*Load).CreatePermissions},
		{"direct", func(l *Load) error { l.BypassServer(); return nil }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := sessions(t, 20, [2]Transport{})
			if err := tt.connect(l); err != nil {
				t.Fatal(err)
			}
			marks := 0
			delivered, all, err := l.Saturate(8, 10*time.Millisecond, 100*time.Millisecond, func() error {
				marks++
				return nil
			})
			if err != nil || marks != 2 || delivered == 0 || all.Delivered < delivered || all.Sent < all.Delivered ||
				all.Astray+all.Reordered != 0 {
				t.Errorf("saturated: %d delivered, %+v, %v", delivered, all, err)
			}

			all, late, err := l.SendAtRate(8, 2000, 100*time.Millisecond)
			if err != nil || all.Delivered == 0 || len(late) != all.Delivered || all.Astray+all.Reordered != 0 {
				t.Errorf("paced: %+v, %d latencies, %v", all, len(late), err)
			}
			for _, d := range late {
				if d <= 0 || d > time.Minute {
					t.Fatalf("a packet took %v", d)
				}
			}
		})
	}
}

// TestStreamsDeliverEverythingInOrder: over TCP and TLS too, packets arrive whole and in order.
func TestStreamsDeliverEverythingInOrder(t *testing.T) {
	for name, by := range map[string][2]Transport{"TCP": {TCP, TCP}, "TLS": {TLS, TLS}, "UDP to TCP": {UDP, TCP},
		"UDP to TLS": {UDP, TLS}} {
		for encapsulation, connect := range map[string]func(*Load) error{"channels": (*Load).BindChannels,
			"indications": (*Load).CreatePermissions} {
			t.Run(name+" by "+encapsulation, func(t *testing.T) {
				l := sessions(t, 20, by)
				l.stall = patience // streams lose nothing, however long it takes
				if err := connect(l); err != nil {
					t.Fatal(err)
				}
				delivered, all, err := l.Saturate(8, 10*time.Millisecond, 100*time.Millisecond, func() error {
					return nil
				})
				if err != nil || delivered == 0 || all.Delivered != all.Sent || all.Astray+all.Reordered != 0 {
					t.Errorf("saturated: %d delivered, %+v, %v", delivered, all, err)
				}

				said, err := l.Protection()
				if want := by[1] == TLS; err != nil ||
					want != (said == "TLS 1.2 with TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256") || !want && said != "" {
					t.Errorf("protection %q, %v", said, err)
				}
			})
		}
	}
}

// TestStreamIsCutWhereMessagesEnd: however a stream arrives, it is cut where its messages end.
func TestStreamIsCutWhereMessagesEnd(t *testing.T) {
	said := append([]byte{0x40, 0, 0, 3, 1, 2, 3, 0}, make([]byte, 24)...)
	said[9], said[11] = 0x17, 4
	said = append(said, 0x40, 0, 0, 0)
	for piece := 1; piece <= len(said); piece++ {
		s := &stream{in: make([]byte, 0, 64)}
		var got []int
		for rest := said; len(rest) > 0; {
			n := min(piece, len(rest))
			s.in = append(s.in, rest[:n]...)
			rest = rest[n:]
			if err := s.parse(func(m []byte) { got = append(got, len(m)) }); err != nil {
				t.Fatal(err)
			}
		}

		if !slices.Equal(got, []int{7, 24, 4}) {
			t.Errorf("in pieces of %d: messages of %v bytes", piece, got)
		}
	}

	s := &stream{in: []byte("\x80TLS or what")}
	if err := s.parse(func([]byte) {}); !errors.Is(err, errFraming) {
		t.Errorf("%v for a stream that is not TURN", err)
	}
}

func TestPacketCountsOnceAtItsReceiver(t *testing.T) {
	const sender, receiver = 0, 1
	message := func(l *Load, number uint32) []byte {
		p := make([]byte, 4+Payload)
		l.putBurst(p, sender, 1, number, 1)
		return p
	}

	for _, tt := range []struct {
		name    string
		numbers []uint32
		to      int
		want    Traffic
	}{
		{"in order", []uint32{0, 1, 2}, receiver, Traffic{Delivered: 3}},
		{"after a gap", []uint32{0, 200, 201}, receiver, Traffic{Delivered: 3}},
		{"later than the next", []uint32{0, 2, 1, 3}, receiver, Traffic{Delivered: 4, Reordered: 1}},
		{"twice", []uint32{0, 1, 1, 0}, receiver, Traffic{Delivered: 2, Astray: 2}},
		{"to its sender", []uint32{0}, sender, Traffic{Astray: 1}},
		{"to another session", []uint32{0}, 3, Traffic{Astray: 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := &Load{clients: make([]client, 4), flows: make([]flow, 4)}
			for _, n := range tt.numbers {
				l.count(message(l, n), tt.to, 0)
			}
			if l.traffic != tt.want {
				t.Errorf("%+v, want %+v", l.traffic, tt.want)
			}
		})
	}

	l := &Load{clients: make([]client, 2), flows: make([]flow, 2)}
	for _, kind := range []stun.MessageType{stun.NewType(stun.MethodChannelBind, stun.ClassSuccessResponse),
		stun.NewType(stun.MethodAllocate, stun.ClassErrorResponse)} {
		if l.count(stun.MustBuild(stun.TransactionID, kind).Raw, receiver, 0); l.traffic != (Traffic{}) {
			t.Errorf("%+v: a late answer counts", l.traffic)
		}
	}

	if l.count(stun.MustBuild(stun.TransactionID, stun.BindingRequest).Raw, receiver, 0); l.traffic.Astray != 1 {
		t.Errorf("%+v: a request from the server does not count as astray", l.traffic)
	}

	l = &Load{clients: make([]client, 2), flows: make([]flow, 2)}
	l.flows[sender].sent = 7
	l.reset()
	l.count(message(l, 6), receiver, 0)
	if l.count(message(l, 7), receiver, 0); l.traffic != (Traffic{Delivered: 1}) {
		t.Errorf("%+v, want what was sent before not to count", l.traffic)
	}

	l = &Load{clients: make([]client, 2), flows: make([]flow, 2), encapsulation: indications}
	l.clients[receiver^1].relayed = netip.MustParseAddrPort("198.18.0.1:49153")
	if l.count(message(&Load{clients: l.clients}, 0), receiver, 0); l.traffic.Astray != 1 {
		t.Error("ChannelData counts although the load uses indications")
	}
}

func TestOpenRefusesBadConfigs(t *testing.T) {
	server, first := netip.MustParseAddrPort("127.0.0.1:9"), netip.MustParseAddr("127.3.0.1")
	stream := func(int) Transport { return TCP } // where nobody listens
	for _, c := range []Config{
		{
			Server:  server,
			First:   first,
			Clients: 2,
			Plain:   server,
			By:      stream,
		},
		{Server: server, First: first, Clients: 3},
		{Server: server, First: first},
		{Server: netip.MustParseAddrPort("[::1]:9"), First: first, Clients: 2},
	} {
		if l, err := Open(c); err == nil {
			l.Close()
			t.Errorf("Open accepted %+v", c)
		}
	}
}
