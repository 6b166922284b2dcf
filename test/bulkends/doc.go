// Bulkends is both ends of a transfer of one large object on hosts of the NAT lab, to measure how fast it travels over
// QUIC on our ICE path (package bulk) and, beside that, over a data channel of a stock pion/webrtc:
//
//	camera                            the test                             viewer
//	  │ ── description, a line ─────────▶ │ ── the same line ─────────────────▶ │   candidates and a certificate's
//	  │ ◀── the same line ─────────────── │ ◀── description, a line ─────────── │   hash, or SDP
//	  │ ◀═══════════════════════════ ICE, QUIC or DTLS and SCTP ══════════════▶ │
//	  │ ◀──────────────────────────────────────────────────────── get the object │   the clock starts
//	  │ ══════════════════════════════════════════════════════════ the object ══▶ │   and stops at the last
//	  │                                   │ ◀── done BYTES SECONDS relayed=BOOL ─ │   verified byte
//
// Both methods have the same sockets and TURN clients (session/turnclient), and both ends know everything that costs
// time before the clock starts: the object and its hashes. The viewer hashes what comes and writes it to a file.
//
// Only tests may run it, in namespaces that they made. Its ICE credentials are whatever the command line says, and its
// sessions are not sealed: it must never carry anything but what it has made up.
package main
