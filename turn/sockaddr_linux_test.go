package turn

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

// TestControlMessagesAreReadByLevelAndKind: the same number means something else at another level.
func TestControlMessagesAreReadByLevelAndKind(t *testing.T) {
	four, six := make([]byte, unix.SizeofInet4Pktinfo), make([]byte, unix.SizeofInet6Pktinfo)
	copy(four[8:], []byte{192, 0, 2, 1})
	copy(six, netip.MustParseAddr("2001:db8::1").AsSlice())
	gro := binary.NativeEndian.AppendUint32(nil, 1200)

	for _, tt := range []struct {
		name        string
		level, kind int32
		data        []byte
		size        int
		local       string
	}{
		{"size of segments", unix.SOL_UDP, unix.UDP_GRO, gro, 1200, ""},
		{"IPv4 address", unix.SOL_IP, unix.IP_PKTINFO, four, 0, "192.0.2.1"},
		{"IPv6 address", unix.SOL_IPV6, unix.IPV6_PKTINFO, six, 0, "2001:db8::1"},
		{"size, of another kind", unix.SOL_UDP, unix.UDP_GRO + 1, gro, 0, ""},
		{"size, of another level", unix.SOL_SOCKET, unix.UDP_GRO, gro, 0, ""},
		{"size, too short", unix.SOL_UDP, unix.UDP_GRO, gro[:3], 0, ""},
		{"IPv4, of another kind", unix.SOL_IP, unix.IP_PKTINFO + 1, four, 0, ""},
		{"IPv4, of another level", unix.SOL_SOCKET, unix.IP_PKTINFO, four, 0, ""},
		{"IPv4, too short", unix.SOL_IP, unix.IP_PKTINFO, four[:len(four)-1], 0, ""},
		{"IPv6, of another kind", unix.SOL_IPV6, unix.IPV6_PKTINFO + 1, six, 0, ""},
		{"IPv6, of another level", unix.SOL_SOCKET, unix.IPV6_PKTINFO, six, 0, ""},
		{"IPv6, too short", unix.SOL_IPV6, unix.IPV6_PKTINFO, six[:len(six)-1], 0, ""},
	} {
		var c control
		n := c.appendMessage(0, tt.level, tt.kind, tt.data)
		size, local := c.parse(n)
		if want, _ := netip.ParseAddr(tt.local); size != tt.size || local != want {
			t.Errorf("%s: read %d and %s, want %d and %q", tt.name, size, local, tt.size, tt.local)
		}
	}
}

func TestClosedSocketHasNoDuplicate(t *testing.T) {
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	if fd, err := duplicate(c); !errors.Is(err, net.ErrClosed) || fd != 0 {
		t.Errorf("descriptor %d, %v", fd, err)
	}
}
