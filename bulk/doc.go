// Package bulk brings large things from a camera to a viewer: a log, a recording. It runs one QUIC connection over a
// path that somebody else has found, and promises that what arrives is what the camera offered, byte for byte, however
// often the path breaks on the way.
//
//	viewer                       path (ICE)                       camera
//	  │ ── QUIC, TLS 1.3: each end shows the certificate that the other expects ─▶ │
//	  │ ── stream 0: {"list":true} FIN ──────────────────────────────────────────▶ │
//	  │ ◀─ {"objects":[…]} FIN ─────────────────────────────────────────────────── │
//	  │ ── stream 4: {"get":{"id":"log"}} FIN ───────────────────────────────────▶ │
//	  │ ◀─ {"object":{…}}, all leaf hashes, the blocks asked for, FIN ──────────── │
//
// A request is a big-endian u16 and as many bytes of JSON, at most 1 KiB; a reply begins with a u32 and at most 64 KiB
// of JSON. The viewer opens the streams, at most 4 at a time. There are no other streams, and no datagrams.
//
// # What is verified
//
// An object is at most 4 GiB, in blocks of 256 KiB. Its root commits to its size and to the Merkle tree of its blocks
// (RFC 9162, section 2.1.1). The viewer gets all leaf hashes first and checks them against the root; then it checks
// each block against its leaf, and writes nothing that does not match. What is on the disk from an earlier attempt is
// checked in the same way before it counts. The root itself is authentic because the connection is: each end makes a
// certificate for one session, and knows the hash of the other's from the sealed records of that session.
//
// # What the other end can do
//
// It can end the connection, send nothing, or offer what it likes. Every length is checked before memory is taken for
// it, and every wait has an end. QUIC runs with TLS 1.3 and X25519MLKEM768 alone, without tickets, early data and
// further versions. A camera, which may have 64 MiB of memory, receives requests only, so its windows hold little more
// than one each; what it has sent and not had acknowledged is bounded by the viewer's windows, 8 MiB, or by quic-go's
// own limit of 10,000 packets if a viewer is hostile.
//
// The path also carries STUN and, through a relay, TURN's ChannelData. RFC 9443 tells them from QUIC by the first byte,
// if the QUIC bit is set: quic-go always sets it, and does not offer to grease it (RFC 9287).
//
// # The picture comes first
//
// While somebody watches, the camera holds its rate so that the queue it causes stays below 25 ms (see pace.go). The
// package never chooses a path or opens an envelope, and knows nothing of sessions.
//
// It is not part of the SDK (doc/sdk.md): its API may change at any time.
package bulk
