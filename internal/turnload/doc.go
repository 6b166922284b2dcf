// Package turnload loads a TURN server as many clients at once, for benchmarks: one socket, one thread, and an address of
// its own for every client.
//
//	client 0 ──┐                       ┌── client 0
//	client 1 ──┤                       ├── client 1      two clients are a session: what one sends to its
//	   ...     ├── one socket ── server┤      ...         allocation comes out at the other's, and back
//	client n ──┘                       └── client n
//
// Clients differ by their source address alone, which is chosen for each packet (IP_PKTINFO) from a prefix that is all
// local; so ten thousand 5-tuples cost one descriptor. A burst of one flow leaves in one call and, where the way there
// can carry it, in one piece (UDP GSO); what comes in is taken many at a time (recvmmsg, UDP GRO). So the generator costs less than
// what it measures. A client that comes by TCP or TLS has a connection of its own: a burst is one write, and with TLS a record for
// each packet.
//
// It promises that it counts a packet as delivered only where it arrived at the client that it was for, once, and that
// every server is asked in the same words. It speaks no more of RFC 8656 than that needs and must never be
// imported but by tests and benchmarks.
package turnload
