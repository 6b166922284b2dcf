package reserve

import (
	"fmt"
	"net"
)

// A Port is an address that is kept until Close.
type Port struct {
	addr string
	keep interface{ Close() error }
}

// TCP reserves a TCP port. With port 0 the kernel chooses one.
func TCP(address string) (*Port, error) {
	want, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("reserve TCP port: %w", err)
	}
	fd, addr, err := bind(want.IP, want.Port)
	if err != nil {
		return nil, fmt.Errorf("reserve TCP port at %s: %w", address, err)
	}
	return &Port{addr: addr, keep: fd}, nil
}

// For reserves a TCP port on this machine until a test ends, and returns its address.
func For(t interface {
	Helper()
	Cleanup(func())
	Fatal(...any)
}) (address string) {
	t.Helper()
	p, err := TCP("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p.Addr()
}

// UDP reserves a UDP port. Servers must listen there by ListenUDP.
func UDP(address string) (*Port, error) {
	conn, err := listenUDP(address)
	if err != nil {
		return nil, fmt.Errorf("reserve UDP port at %s: %w", address, err)
	}

	// A connected socket hears its peer alone, which here is itself. Packets from others are refused, or go to the
	// socket that listens.
	if err := connectToItself(conn); err != nil {
		conn.Close()
		return nil, fmt.Errorf("reserve UDP port at %s: %w", address, err)
	}
	return &Port{addr: conn.LocalAddr().String(), keep: conn}, nil
}

// Addr returns the address, with its port.
func (p *Port) Addr() string { return p.addr }

// Close releases the port.
func (p *Port) Close() error { return p.keep.Close() }

// ListenUDP listens at a reserved port.
func ListenUDP(address string) (*net.UDPConn, error) { return listenUDP(address) }
