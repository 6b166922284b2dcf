// Package media turns cameras into H.264 access units and sealed frames into RTP payloads.
//
// It has three parts, in the order in which a frame passes them:
//
//	Source ──▶ Feed ──▶ Subscription ──▶ (session seals) ──▶ Carrier.Packetize ──▶ RTP
//	RTP ──▶ Assembler ──▶ Frame ──▶ (session opens) ──▶ the access unit, bit for bit
//
// [Open] returns a [Source] that reads an RTSP camera (through package rtsp), an HTTP stream, a file, a V4L2 device or
// a test pattern; [Clips] are films embedded in the program. A [Feed] keeps a Source running, refuses what browsers
// cannot play, and hands its access units to any number of subscribers. A [Carrier] gives sealed bytes the outward
// shape of a codec's frame, so that a browser's depacketizer lets them through.
//
// The package never re-encodes an access unit unless asked to, and a slow subscriber or a dead input never holds up
// another. It knows no key and must never learn one: what it packetizes is opaque, and what it depacketizes is not
// authenticated yet.
package media
