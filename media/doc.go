// Package media turns cameras into H.264 access units and sealed frames into RTP payloads.
//
// It has three parts, in the order in which a frame passes them:
//
//	Source ──▶ Feed ──▶ Subscription ──▶ (session seals) ──▶ Carrier.Packetize ──▶ RTP
//	RTP ──▶ Assembler ──▶ Frame ──▶ (session opens) ──▶ access unit, bit for bit the one that was fed
//
// A [Source] reads an RTSP camera, a file, a V4L2 device, a test pattern or an embedded [Clip]. A [Feed] keeps
// it running, refuses what a browser cannot play and hands out access units to any number of subscribers.
// A [Carrier] gives sealed bytes the outward shape of a codec's frame, so that a browser's depacketizer
// lets them through.
//
// The package promises that the bytes of an access unit are never re-encoded unless asked for, and that a
// slow subscriber or a dead input never holds up another. It knows no key and must never learn one: what it
// packetizes is opaque, what it depacketizes is not yet authenticated. It imports no other package of this module.
package media
