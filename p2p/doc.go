// Package p2p carries signaling without the cloud: between a viewer and its camera on one network, and through circuit
// relays (libp2p's circuit relay v2) that a household chooses. It opens connections, and knows nothing of what they
// carry: signaling's frames, whose bodies are sealed.
//
//	viewer                         LAN                        camera
//	  │ ── who is _peephole._udp.local? ──────── mDNS ─────────▶ │
//	  │ ◀─ KEY._peephole._udp.local, port ────────────────────── │   KEY: the day's host key
//	  │ ── QUIC, TLS 1.3: each end proves its host key ────────▶ │
//	  │ ══ one stream, /peephole/signaling/1: a net.Conn ═══════ │
//
//	viewer                     circuit relay                  camera
//	  │                              │ ◀── RESERVE ───────────── │   one QUIC connection, kept open
//	  │ ── CONNECT to KEY ─────────▶ │ ─── STOP ───────────────▶ │
//	  │ ══ TLS 1.3, yamux, one stream: as above ═════════════════ │   the relay sees neither
//
// A camera has a host key a day, and its viewers hold the public keys in advance; a viewer makes a host key for each
// connection. Nothing else names anybody: announcements contain the day's key, the port and the addresses of the link
// they are sent on, and no identify protocol runs. A Conn's Origin names both host keys, for the caller to sign.
//
// # What a stranger can do
//
// Everybody on the LAN may connect, so everything is bounded before it costs anything. Each host key has these limits:
//   - QUIC is accepted from addresses of the camera's own links only, and only some handshakes are begun a second,
//     shared fairly among addresses (package netlimit). Under pressure a source address must be proved first.
//   - A connection is unproven until the one who serves it calls Proven. There are at most 8 unproven ones, 2 from one
//     address; a newcomer takes the place of the oldest one from the network (IPv6: the /64) that has most. An unproven
//     connection ends after 10 s, wherever it got stuck. Proven ones, at most 24, are never dropped for others.
//   - A connection has one stream. The resource manager allows 16 MiB for windows beyond their initial size, which is
//     512 KiB for a stream and 768 KiB for a connection and fills only if nobody reads.
//   - Messages of mDNS are at most 2 KiB, with at most 32 records; answers are sent once a second on each link.
//
// A viewer dials only where an announcement of a listed key came from, which is on its link, and tries everybody who
// announces it: who announces another's key cannot prove it, and does not keep the true one from being found. A relay
// learns which host keys talk, and when; what it alters or withholds ends the connection.
//
// While nobody is connected, nothing is sent but answers to questions.
//
// A Relay is the operator's circuit relay. It dials nobody, so it has no AutoNAT server, and speaks nothing but the
// circuit protocol. A circuit carries 2 MiB each way and lasts 30 minutes. A connection has at most 16 circuits from
// others and 4 to others, and 128 connections may come from one address, of 4,096 in all. Within these limits a relay
// serves everybody.
//
// No other package of the product imports go-libp2p, and this one must never import what opens envelopes.
//
// It is not part of the SDK (doc/sdk.md): its API may change at any time.
package p2p
