//go:build !linux

package turn

import "net"

func openSockets(first *net.UDPConn, _ *Config, n *counters) sockets { return newPlainSocket(first, n) }
