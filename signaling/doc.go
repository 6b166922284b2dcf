// Package signaling carries opaque bodies between mailboxes on a relay: the frames of the WebSocket protocol
// (doc/protocol.md, section 5) and its client.
//
//	client                                 server
//	   │ ◀──────────────────── challenge    │
//	   │ ── open (read key signs) ────────▶ │
//	   │ ── open (write key signs), post ─▶ │   pipelined: no waiting between
//	   │ ◀────────────────── ok, deliver    │
//	   │ ── ack ──────────────────────────▶ │
//	   │ ── reject (did not open) ────────▶ │
//
// A mailbox certifies itself: its name is a hash of the two keys that open it and post to it, so the server keeps
// no table of who owns what. The package promises at-least-once delivery while a message lives; it must never
// look into a body, and it links nothing that could open one.
package signaling
