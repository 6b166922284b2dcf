// Package icepath finds a path for packets that are no media. A session's picture has pion/webrtc's own agent, which
// gives its pairs to nobody else; what travels beside pictures has an agent of its own here, set up like that one: the
// same sockets, servers, port mapping and guessed ports serve it.
//
// It is not part of the SDK (doc/sdk.md): its API may change at any time.
package icepath
