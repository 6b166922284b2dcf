// Package webtransport carries messages between a client and a relay over WebTransport, that is, over HTTP/3 and QUIC
// (doc/protocol.md, section 5.2). The relay's clients use it beside a WebSocket: it connects in one round trip less,
// a lost packet delays only what is in it, and a connection outlives a change of network.
//
// A session has one stream, which the server opens. On it, each message follows its length: 32 bits, big-endian. An
// empty message is a ping, if a client sends it, and the answer, if a server does. Everything else that HTTP/3 and
// WebTransport offer is refused, or ignored and bounded.
//
// It is not part of the SDK (doc/sdk.md): its API may change at any time.
package webtransport

import (
	"time"

	"github.com/quic-go/quic-go"
)

// Path is where a relay serves WebTransport. Its end is the version of the messages.
const Path = "/v1/signal/3"

const (
	handshakeTimeout = 5 * time.Second
	idleTimeout      = time.Minute
	keepAlive        = 20 * time.Second // NATs forget a mapping after half a minute

	// What an end holds for the other that has not been read, in bytes. A server holds less, for a client may send it
	// in pieces that cost ten times their size, and has little to send.
	clientWindow, serverWindow = 64 << 10, 8 << 10

	// HTTP/3 needs three streams in each direction for itself: control, and two for QPACK. The others are browsers'
	// grease (RFC 9114, section 7.2.8).
	maxUniStreams = 6
)

// newConfig returns what both ends use, with a window for the one stream, and as much for all others together.
// WebTransport needs the two extensions.
func newConfig(window uint64) *quic.Config {
	return &quic.Config{
		HandshakeIdleTimeout:             handshakeTimeout,
		MaxIdleTimeout:                   idleTimeout,
		KeepAlivePeriod:                  keepAlive,
		InitialStreamReceiveWindow:       window,
		MaxStreamReceiveWindow:           window,
		InitialConnectionReceiveWindow:   2 * window,
		MaxConnectionReceiveWindow:       2 * window,
		MaxIncomingStreams:               1,
		MaxIncomingUniStreams:            maxUniStreams,
		EnableDatagrams:                  true,
		EnableStreamResetPartialDelivery: true,
	}
}
