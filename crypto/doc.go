// Package crypto is the map of Peephole's keys; it holds no code.
//
// Long-lived, one per device: the identity (crypto/identity), an Ed25519 and an X-Wing key, in a file of mode 0600.
//
// Per pair, from pairing (crypto/pairing), kept by both devices until the pair ends:
//
//	S ────────────┐ 128 bits on the QR code, used once
//	k ────────────┴─▶ root ─┬─▶ pair secret      authenticates every envelope and every session
//	                        └─▶ mailbox secret   names mailboxes and signs for them
//
// Per message (crypto/envelope): HPKE to the recipient's X-Wing key, its export mixed with the pair secret.
//
// Per session (package session), in memory only:
//
//	pair secret, offer's HPKE export, session KEM secret, 32 bytes of each end, transcript ─▶ session secret
//	session secret ─┬─▶ record key and iv of each direction of signaling and of the data channel
//	                └─▶ with the sender's 32 bytes: SFrame base key of each track (crypto/sframe)
//
// Why each nonce is used once:
//
//	nonce                             key                         because
//	pairing bundle, M3: derived       from S, from root           the key seals that one message and no other
//	pairing M1, M2: HPKE's            from a fresh encapsulation  one message per encapsulation
//	pairing refusal: 96 random bits   from S                      at most seventeen are sealed, whatever a relay does
//	envelope: derived                 from a fresh encapsulation  one message per encapsulation
//	record: iv XOR counter            per session, channel, way   the counter lives and dies with the key, in memory
//	SFrame: salt XOR CTR              per session, sender, track  likewise; the sender's own 32 bytes are in the key
//
// No counter is ever read from a disk, so no rolled-back state can make one repeat.
//
// crypto/label declares every label. doc/protocol.md is normative.
//
// It is not part of the SDK (doc/sdk.md): its API may change at any time.
package crypto
