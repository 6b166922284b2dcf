// Package turn is Peephole's TURN server (RFC 8656, on pion/turn): a relay with no way out.
//
// Both ends of a session allocate on the same server. A relayed transport address is a name inside this process and
// nothing else: no socket stands behind it, and an allocation exchanges packets with the allocations of the other role
// in its own session and with nothing else.
//
//	camera ── UDP ── worker ── allocation ══ session ══ allocation ── queue ── TCP ── viewer
//	                   │       198.18.0.1               198.18.0.2      │
//	                   └── requests ──────── pion/turn ─────────────────┘
//
// What it promises:
//
//   - No packet leaves except to a client that authenticated. Reaching into somebody's network, or from one household
//     into another, is not filtered but impossible: an allocation holds references to its session's allocations, and
//     there is no code that sends to an address.
//   - The other end's relayed address is the only peer that gets a channel, and its IP the only one that gets a permission; every other gets 403.
//     That answer is a courtesy to ICE. The gate is [relay.pass], passed by every packet.
//   - A second UDP port, if there is one, answers Binding requests to the address that asked and knows nothing of allocations.
//   - Memory is bounded: allocations per session, payer, source address and in all, packets per queue, stream connections. So is
//     bandwidth; see [Limits].
//   - Over UDP an address that has shown no password is sent hardly more bytes than came from it, so that nobody gains by
//     asking in another's name; see [credit].
//   - Credentials are good for minutes, for one session and one role; see [Keys].
//
// How a packet travels. pion/turn is the protocol: it sees requests, and keeps what they make with its lifetimes. Packets never
// reach it. Each core has a worker with a socket of its own on the same port, among which the kernel divides the clients:
//
//	recvmmsg, UDP_GRO    up to 32 reads a call, each of up to 64 KiB that came in one go   worker_linux.go
//	segments             cut back into datagrams                                           segment.go
//	table                the client's address gives its allocation, without a lock         table.go
//	relay.forward        ChannelData and Send indications; else it goes up to pion         gate.go, indication.go
//	relay.pass           the gate: the routes of both ends, which pion's events keep       gate.go, route.go
//	outlet               a header written before the data where they lie, and then         gate.go
//	  batch              sendmmsg, UDP_SEGMENT: one entry a client and size                batch_linux.go
//	  queue              a TCP or TLS client's own, written by a goroutine while not empty queue.go
//
// A stream's reader takes the same way from relay.forward on. Nothing on it allocates or locks, but a queue once a round. A worker
// never waits with something in hand: it sends what it read and reads again, and so takes more at a time the more there is. Where
// single packets come fast, it lets them gather for 30 µs before it reads again (gathering_linux.go).
// Where the operator asks for it, the kernel does the same for ChannelData between UDP clients before they reach a socket
// ([Config.XDP], kernel.go, package turn/xdp).
//
// What the kernel lacks is found out at the start and said in the log; without any of it, one [plainSocket] does it all.
//
// pion starts a goroutine for each allocation, to read what peers send. It has nothing to do here, nobody waits for it, and
// [allocation.ReadFrom] ends it.
//
// It must never open a socket for an allocation, write an address to the log above debug level, or import a sibling
// package. Only this package imports pion/turn.
package turn
