// Package pairing turns a QR code seen by two devices that stand in front of each other into a pair of keys that no
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
// [Displayer] and [Scanner] take messages and give messages; they do no input or output. They promise that one code makes
// one pair, that both ends agree on every byte that passed, and that an end which did not see the code learns nothing.
package pairing
