// Package pairing turns a QR code, shown by one device and scanned by another beside it, into a pair of keys that no
// server knows (doc/protocol.md, section 3).
//
//	displayer                                    scanner
//	   │  QR: relay, fingerprint, S  ─ ─ ─ ─ ─ ─ ─▶ │   seen, never sent
//	   │ ── bundle (under S) ─────────────────────▶ │   must have the fingerprint
//	   │ ◀───────────────── M1: bundle, nonce, MAC  │   sealed to the displayer
//	   │ ── M2: nonces, k, MAC, signature ────────▶ │   sealed to the scanner
//	   │ ◀───────────────────── M3: MAC, signature  │
//	   │ ── the first envelope under the pair secret▶│
//
// [Displayer] and [Scanner] turn messages into replies, and do no input or output. They promise that one code makes one
// pair, that both ends agree on every byte that passed, and that nobody learns anything without having seen the code.
//
// It is not part of the SDK (doc/sdk.md): its API may change at any time.
package pairing
