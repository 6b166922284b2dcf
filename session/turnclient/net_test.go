package turnclient

import (
	"errors"
	"net"
	"testing"

	"github.com/pion/stun/v3"
	"github.com/pion/transport/v5"
)

// peerAddress is XOR-PEER-ADDRESS, RFC 8656 section 18.3.
type peerAddress string

func (a peerAddress) AddTo(m *stun.Message) error {
	return (&stun.XORMappedAddress{IP: net.ParseIP(string(a)), Port: 5000}).AddToAs(m, stun.AttrXORPeerAddress)
}

// A client does not request a permission that the relay would refuse. Everything else passes.
func TestPermissionOutsideTheRelayIsRefused(t *testing.T) {
	network, err := newAgentNet(credentials{}, nil, nil, nat64{})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()

	stream, err := newDialer(t.Context(), nil, nil, nil).Dial("tcp4", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()

	packets, err := network.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer packets.Close()

	permission := stun.NewType(stun.MethodCreatePermission, stun.ClassRequest)
	for _, tt := range []struct {
		name    string
		kind    stun.MessageType
		peers   []stun.Setter
		refused bool
	}{
		{"relayed", permission, []stun.Setter{peerAddress("198.18.0.1")}, false},
		{"two relayed", permission, []stun.Setter{peerAddress("198.18.0.1"), peerAddress("198.19.255.255")}, false},
		{"host", permission, []stun.Setter{peerAddress("192.0.2.1")}, true},
		{"beside", permission, []stun.Setter{peerAddress("198.20.0.1")}, true},
		{"IPv6", permission, []stun.Setter{peerAddress("2001:db8::1")}, true},
		{"relayed and host", permission, []stun.Setter{peerAddress("198.18.0.1"), peerAddress("10.0.0.1")}, true},
		{"no peer", permission, nil, false},
		{"another request", stun.NewType(stun.MethodChannelBind, stun.ClassRequest),
			[]stun.Setter{peerAddress("192.0.2.1")}, false},
		{"an answer", stun.NewType(stun.MethodCreatePermission, stun.ClassSuccessResponse),
			[]stun.Setter{peerAddress("192.0.2.1")}, false},
	} {
		m, err := stun.Build(append([]stun.Setter{stun.TransactionID, tt.kind}, tt.peers...)...)
		if err != nil {
			t.Fatal(err)
		}
		_, udp := packets.WriteTo(m.Raw, packets.LocalAddr())
		_, tcp := stream.Write(m.Raw)
		for _, err := range []error{udp, tcp} {
			if errors.Is(err, errNoWayOut) != tt.refused || !tt.refused && err != nil {
				t.Errorf("%s: %v, want refused: %v", tt.name, err, tt.refused)
			}
		}

		if _, err := packets.WriteTo(m.Raw[:len(m.Raw)-1], packets.LocalAddr()); err != nil && len(tt.peers) > 0 {
			t.Errorf("%s, torn: %v", tt.name, err)
		}
	}
}

// A host candidate's socket sends nothing to a relayed address: whoever used that address on the internet would see
// this network's address.
func TestHostSendsNothingToRelayedAddresses(t *testing.T) {
	network, err := newAgentNet(credentials{}, nil, nil, nat64{})
	if err != nil {
		t.Fatal(err)
	}
	at, err := network.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer at.Close()

	sink := &counting{UDPConn: at}
	at = hostConn{sink, nat64{}}
	for address, want := range map[string]int{"198.18.0.1": 0, "::ffff:198.19.255.255": 0, "198.20.0.1": 1,
		"192.0.2.1": 1, "2001:db8::1": 1} {
		sink.sent = 0
		if n, err := at.WriteTo([]byte("check"), &net.UDPAddr{IP: net.ParseIP(address), Port: 5000}); n != 5 ||
			err != nil || sink.sent != want {
			t.Errorf("%s: %d packets sent, want %d; %v", address, sink.sent, want, err)
		}
	}
}

// counting counts the packets that it should send, and sends nothing.
type counting struct {
	transport.UDPConn
	sent int
}

func (c *counting) WriteTo(b []byte, _ net.Addr) (int, error) {
	c.sent++
	return len(b), nil
}
