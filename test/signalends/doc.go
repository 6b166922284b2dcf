// Signalends runs either end of a signaling connection in the NAT lab. It measures what a client would gain from
// WebTransport over HTTP/3 instead of its WebSocket:
//
//	client                                 server
//	  │ ── connect ───────────────────────▶ │     TCP, TLS and the WebSocket's upgrade, or QUIC and HTTP/3's CONNECT
//	  │ ◀───────────────────── challenge ── │
//	  │ ── open ──────────────────────────▶ │
//	  │ ◀──────────────────────── opened ── │     dial takes from the first packet to here
//	  │ ── post ──────────────────────────▶ │
//	  │ ◀────────────────────── the same ── │     and post from the last one to here
//
// The messages have the sizes of the protocol's (doc/protocol.md, section 3), but nothing is signed: that would cost
// both carriers the same. The client does what a line on its standard input says: dial, post, or move, which is what it
// does when its network has changed: it gets a connection that works there, and posts. Over WebSocket it connects anew;
// over WebTransport it takes its connection with it (RFC 9000, section 9).
//
// Only tests may run it, in namespaces that they made.
package main
