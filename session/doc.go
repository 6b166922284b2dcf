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
// It promises that nothing which describes or contains the picture leaves either end in the clear, that what
// does not open is counted and told and never shown, and that a frame is called live only when it answers a
// challenge of this viewer that is at most [LiveFor] old. It must never log SDP, candidates or keys.
package session
