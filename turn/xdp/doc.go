// Package xdp forwards ChannelData between two clients of a TURN server in the kernel, before its network stack sees the packets
// (XDP). It is an addition that the server can do without: what the program here does not know, and whatever is unusual,
// reaches the server's sockets as if it were not there.
//
//	client A ── ChannelData 0x4001 ──▶ ┌ network card ──── program ────┐ ── ChannelData 0x4007 ──▶ client B
//	                                   │ (A, 0x4001) ▶ (B, 0x4007)     │
//	           everything else ──────▶ └──────────────▼────────────────┘
//	                                            the server's sockets
//
// forward.c is the program and forward.o is built from it (scripts/xdp.sh, which CI runs to compare); here is what loads it and
// keeps its maps.
//
// What it promises:
//
//   - A packet goes to the one client that a route names, from the server's own address and port, with its payload as it came. A route
//     is set by the server for two allocations of one session; there is no other way to a destination.
//   - Both ends are on one link and have sent ChannelData there: the receiver's link address is the one that its own packets
//     came from.
//   - Limits hold here too; see [Forwarder.AddPace]. What they drop, and what passes, is counted.
//   - When the process ends, however it ends, the program is detached.
//   - While it is attached, the interface's interrupts are held back by up to 20 µs under load, unless that is set already, or may not be; Close
//     undoes it. A process that is killed leaves it, which harms nothing.
//
// It must never be attached without being asked for, in a mode that copies packets into the kernel's stack first (generic XDP), or
// where something else is attached already. Root, or CAP_NET_ADMIN with CAP_BPF, is needed. Linux 5.12 or later.
package xdp
