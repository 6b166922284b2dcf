// Package handshake holds everything that the two ends of a session agree on and seal: offer and answer, the session
// secret, and, sealed under that secret, records, frames and stills (doc/protocol.md, sections 6 and 7).
//
//	viewer                                              camera
//	Offerer.SealOffer ── offer, in an envelope ───────▶ ParseOffer
//	Inbox.OpenReply  ◀── answer, in an envelope ─────── Received.Answer
//	        │                                                 │
//	      Secret            the same at both ends           Secret
//	        ├── RecordKeys   candidates, challenges, bye ───────┤
//	        ├── FrameOpener, FrameSealer      pictures ─────────┤
//	        └── StillAssembly, SealStill      one picture ──────┘
//
// It promises that nothing opens except what the other end of this very session sealed for this very place; that no
// key is used twice with the same nonce; and that a frame is live only if it answers a challenge that this viewer
// issued at most [LiveFor] ago. It handles only bytes, and knows no network and no peer connection. It must never log,
// or return an error that holds a key.
//
// It is not part of the SDK (doc/sdk.md): its API may change at any time.
package handshake
