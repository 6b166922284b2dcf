// Package turn is Peephole's TURN server (RFC 8656, on pion/turn): a relay with no way out.
//
// Both ends of a session allocate on the same server. A relayed transport address is only a name inside this process:
// no socket stands behind it. An allocation exchanges packets with the allocations of the other role in its own
// session, and with nothing else.
//
//	camera ── UDP ── worker ── allocation ══ session ══ allocation ── queue ── TCP ── viewer
//	                   │       198.18.0.1               198.18.0.2      │
//	                   └── requests ──────── pion/turn ─────────────────┘
//
// What it promises:
//
//   - Packets leave only for clients that have authenticated. Reaching into a network, or from one household into
//     another, is not filtered but impossible: an allocation holds references to the allocations of its session, and
//     there is no code that sends to an address.
//   - A client gets a channel only to the relayed address of the other end, and a permission only for its IP. Every
//     other peer gets 403. That answer is a courtesy to ICE; the gate is [relay.pass], which every packet passes.
//   - The optional second UDP port answers Binding requests to the address that asked, and knows of no allocations.
//   - Memory is bounded: allocations per session and in total, packets per queue, stream connections. Payers and
//     addresses share allocations and requests fairly, and bandwidth is bounded. See [Limits].
//   - Over UDP, an address that has not shown a password is sent hardly more bytes than came from it, so forging
//     someone's address gains nothing; see [meter]. Requests of clients with an allocation come before all others.
//   - Credentials are good for minutes, for one session and one role; see [Keys].
//
// How a packet travels. pion/turn speaks the protocol: it sees the requests, and keeps what they create and for how
// long. It never sees a packet. Each core has a worker with its own socket on the shared port, and the kernel divides
// the clients among these sockets:
//
//	recvmmsg, UDP_GRO    up to 32 reads a call, each of up to 64 KiB that came in one go   worker_linux.go
//	segments             cut back into datagrams                                           segment.go
//	clientTable          finds a client's allocation by its address, without a lock        clienttable.go
//	relay.forward        ChannelData and Send indications; all else goes up to pion        gate.go, indication.go
//	relay.pass           the gate: the routes of both ends, which pion's events maintain   gate.go, routes.go
//	outlet               writes a header in front of the data, in place, and then          outlet.go
//	  batch              sendmmsg, UDP_SEGMENT: one entry per client and size              batch_linux.go
//	  queue              one per TCP or TLS client; a goroutine writes it while not empty  queue.go
//
// A stream's reader takes the same path from relay.forward on. Nothing on it allocates or locks, except a queue, once
// a round. A worker never waits with packets in hand: it sends what it read before it reads again, so the more comes
// in, the more it handles per call. Where single packets come fast, it lets them gather for 30 µs before it reads again
// (gathering_linux.go). If the operator asks for it, the kernel forwards ChannelData between UDP clients before it
// reaches a socket ([Config.XDP], kernel.go, package turn/xdp).
//
// At start, the server finds out what the kernel lacks and logs it. A single [plainSocket] works without any of it.
//
// pion starts a goroutine for each allocation, to read what peers send. Here it would wait for ever, and nothing waits
// for it, so [allocation.ReadFrom] ends it.
//
// This package must never open a socket for an allocation, log an address above debug level, or import a sibling
// package other than netlimit. Only this package imports pion/turn.
//
// It is not part of the SDK (doc/sdk.md): its API may change at any time.
package turn
