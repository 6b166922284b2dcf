// Package turn is Peephole's TURN server (RFC 8656, on pion/turn): a relay with no way out.
//
// Both ends of a session allocate on the same server. A relayed transport address is a name inside this process and
// nothing else: no socket stands behind it, and an allocation exchanges packets with the allocations of the other role
// in its own session and with nothing else.
//
//	camera ── UDP ─┐                                                    ┌─ TCP ── viewer
//	               pion/turn ── allocation ══ session ══ allocation ── pion/turn
//	                            198.18.0.1               198.18.0.2
//
// What it promises:
//
//   - No packet leaves except to a client that authenticated. Reaching into somebody's network, or from one household
//     into another, is not filtered but impossible: an allocation holds references to its session's allocations, and
//     there is no code that sends to an address.
//   - The other end's relayed address is the only peer that gets a permission or a channel; every other gets 403.
//     That answer is a courtesy to ICE. The gate is [allocation.WriteTo], passed by every packet.
//   - A second UDP port, if there is one, answers Binding requests to the address that asked and knows nothing of allocations.
//   - Memory is bounded: allocations per session, payer, source address and in all, packets per queue, stream connections. So is
//     bandwidth; see [Limits].
//   - Over UDP an address that has shown no password is sent hardly more bytes than came from it, so that nobody gains by
//     asking in another's name; see [credit].
//   - Credentials are good for minutes, for one session and one role; see [Keys].
//
// It must never open a socket for an allocation, write an address to the log above debug level, or import a sibling
// package. Only this package imports pion/turn.
package turn
