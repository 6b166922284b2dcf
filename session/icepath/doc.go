// Package icepath finds a path for packets that are not media. pion/webrtc keeps its ICE agent to itself, so whatever
// else two ends exchange gets an agent of its own here. Like the picture's, it can use STUN and TURN servers, ports
// that a router opened, and guessed ports.
//
// It is not part of the SDK (doc/sdk.md): its API may change at any time.
package icepath
