// Package stream carries a camera's pictures over a track: out at the camera, in at the viewer.
//
//	camera  Selector ──▶ Sender ──▶ Track ──▶ RTP     chooses a stream; fits it to the line; numbers and repairs
//	viewer  RTP ──▶ Receiver                          assembles, opens, joins, drops what cannot be decoded
//
// It promises that the viewer can decode everything that is sent, and that the person learns why pictures are left out.
// Package handshake seals and opens the pictures. This package must never send a picture unsealed.
//
// It is not part of the SDK (doc/sdk.md): its API may change at any time.
package stream
