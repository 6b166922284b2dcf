// Package xdp forwards ChannelData between two clients of a TURN server in the kernel, before its network stack sees
// the packets (XDP). The server can do without it: whatever this program does not know, and whatever is unusual,
// reaches the server's sockets as if the program were not there.
//
//	client A ── ChannelData 0x4001 ──▶ ┌ network card ──── program ────┐ ── ChannelData 0x4007 ──▶ client B
//	                                   │ (A, 0x4001) ▶ (B, 0x4007)     │
//	           everything else ──────▶ └──────────────▼────────────────┘
//	                                            the server's sockets
//
// forward.c is the program, and forward.o is built from it (scripts/xdp.sh; CI builds it again and compares). The Go
// code loads the program and maintains its maps.
//
// What it promises:
//
//   - A packet goes to the one client that a route names, from the server's own address and port, with its payload
//     unchanged. The server sets a route for two allocations of one session; there is no other way to a destination.
//   - Both ends are on one link and have sent ChannelData there: the receiver's link address is the one that its own
//     packets came from.
//   - Limits hold here too; see [Forwarder.AddTokenBucket]. What they drop, and what passes, is counted.
//   - When the process ends, however it ends, the program is detached.
//   - While it is attached, the interface holds its interrupts back by up to 20 µs under load, unless somebody has set
//     that already or it may not be set. Close undoes it. A process that is killed does not, which does no harm.
//
// It must never be attached without being asked for, in a mode that copies packets into the kernel's stack first
// (generic XDP), or where something else is attached already. It needs root, or CAP_NET_ADMIN with CAP_BPF, and Linux
// 5.12 or later.
//
// It is not part of the SDK (doc/sdk.md): its API may change at any time.
package xdp
