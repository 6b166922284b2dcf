// Package rtsp reads one video track from an RTSP camera (RFC 2326, RTP per RFC 3550) as access units.
//
//	client                                      camera
//	  │ OPTIONS ─────────────────────────────────▶ │  401: the request again, with Digest or Basic
//	  │ DESCRIBE ────────────────────────────────▶ │  301, 302…: from the start, at another URL
//	  │ ◀────────────────────── SDP: tracks, codecs │
//	  │ SETUP of the video track, and of no other ▶ │  461: again, with the other transport
//	  │ PLAY ────────────────────────────────────▶ │
//	  │ ◀═══════════════════════════ RTP, RTCP (SR) │  interleaved in the connection, or over UDP
//	  │ GET_PARAMETER or OPTIONS, RTCP (RR) ─────▶ │  until ctx ends
//	  │ TEARDOWN ────────────────────────────────▶ │
//
// A [Client] passes on complete access units in Annex B, byte for byte as the camera sent them, from the first one that
// begins after PLAY. It drops an access unit only if packets of it are missing; it counts that, and marks the next one
// with Gap. It makes no other decision about pictures: the caller finds out which are keyframes and which can be shown.
//
// The package trusts nothing that a server says. Lines, headers, bodies, tracks, packets, queues and access units have
// limits, and credentials go only to the host that they were given for. It never logs, and none of its errors contains
// credentials or a URL.
//
// It is not part of the SDK (doc/sdk.md): its API may change at any time.
package rtsp
