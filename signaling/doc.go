// Package signaling carries opaque bodies between mailboxes on a relay. It has the frames of the WebSocket protocol
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
// no table of owners. The package promises at-least-once delivery while a message lives. It must never look into a
// body, and links nothing that could open one.
//
// It is not part of the SDK (doc/sdk.md): its API may change at any time.
package signaling
