// Package session is one end-to-end session between a camera and a viewer (doc/protocol.md, sections 6 and 7).
//
//	viewer                         relay (blind)                        camera
//	  │ ── offer, in an envelope ────────▶│────────────────────────────▶ │
//	  │ ◀───────────────────────────────  │ ◀──── answer, in an envelope │   both now hold the session secret
//	  │ ── candidates, in records ───────▶│────────────────────────────▶ │
//	  │ ◀──── ICE, DTLS, SRTP, directly or through the relay's TURN ───▶ │
//	  │ ── hello, challenges, in records on the data channel ──────────▶ │
//	  │ ◀────────────────────────── SFrame inside a carrier inside SRTP  │
//
// It promises that nothing which describes or contains the picture leaves either end in the clear; that it counts and
// reports, but never shows, what does not open; and that it calls a frame live only if the frame answers a challenge
// that this viewer issued at most [LiveFor] ago. It must never log SDP, candidates or keys.
//
// This package runs the two ends, [Viewer] and [Camera]. The packages below it do the parts, and none of them imports
// it: handshake agrees, seals and opens; stream sends and receives pictures, at the pace that congestion sets; path
// explains the way that the media takes; turnclient has the sockets below ICE. Callers need this package alone.
//
// It is not part of the SDK (doc/sdk.md): its API may change at any time.
package session
