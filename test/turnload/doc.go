// Package turnload loads a TURN server with many clients at once, for benchmarks: with one socket, one thread, and an
// address of its own for every client.
//
//	client 0 ──┐                       ┌── client 0
//	client 1 ──┤                       ├── client 1      two clients are a session: what one sends to its
//	   ...     ├── one socket ── server┤      ...         allocation comes out at the other's, and back
//	client n ──┘                       └── client n
//
// Clients differ only by their source address, which is chosen for each packet (IP_PKTINFO) from a prefix that is all
// local, so ten thousand 5-tuples cost one descriptor. A burst of one flow leaves in one call and, where the network
// can carry it, in one piece (UDP GSO). Packets are received many at a time (recvmmsg, UDP GRO). So the generator costs
// less than what it measures. A client over TCP or TLS has its own connection: a burst is one write, and with TLS a
// record for each packet.
//
// It promises that it counts a packet as delivered only if it arrived once, and at the client that it was for, and that
// it sends every server the same requests. It speaks only as much of RFC 8656 as that needs. Only tests and benchmarks
// may import it.
package turnload
