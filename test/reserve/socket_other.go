//go:build !unix

package reserve

import "net"

// Outside Unix a bound socket also keeps servers out. A reservation there promises only that the port was free.

func listenUDP(address string) (*net.UDPConn, error) {
	at, err := net.ResolveUDPAddr("udp", address)
	if err != nil {
		return nil, err
	}
	return net.ListenUDP("udp", at)
}

// connectToItself closes the socket, so that a server can listen there.
func connectToItself(conn *net.UDPConn) error { return conn.Close() }

// released is a port that nothing keeps.
type released struct{}

func (released) Close() error { return nil }

func bind(ip net.IP, port int) (released, string, error) {
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: ip, Port: port})
	if err != nil {
		return released{}, "", err
	}
	return released{}, l.Addr().String(), l.Close()
}
