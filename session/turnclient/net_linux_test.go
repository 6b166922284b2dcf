package turnclient

import (
	"net"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/peephole-cam/peephole/nat/punch"
)

// receiveBufferOf returns the size of a socket's receive buffer in bytes, as Linux counts it.
func receiveBufferOf(t *testing.T, conn any) (size int) {
	t.Helper()
	raw, err := conn.(syscall.Conn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if bad := raw.Control(func(fd uintptr) {
		size, err = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF)
	}); bad != nil || err != nil {
		t.Fatal(bad, err)
	}
	return size
}

// All sockets of an agent hold more than the system's default, so that a process that waits for a processor loses less.
func TestSocketsHaveRoom(t *testing.T) {
	network, err := newAgentNet(credentials{}, nil, new(punch.Sockets), nat64{})
	if err != nil {
		t.Fatal(err)
	}
	loopback := &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}
	plain, err := net.ListenUDP("udp4", loopback)
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()

	host, err := network.ListenUDP("udp4", loopback)
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	client, err := network.ListenPacket("udp4", loopback.String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()

	for name, conn := range map[string]any{
		"host candidate": host.(pacedConn).UDPConn.(hostConn).UDPConn,
		"TURN client":    client.(*packetConn).PacketConn,
	} {
		if got, least := receiveBufferOf(t, conn), receiveBufferOf(t, plain); got <= least {
			t.Errorf("%s: room for %d bytes; a plain socket has %d", name, got, least)
		}
	}
}
