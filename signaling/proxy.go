package signaling

import "errors"

// The faults of proxies, in front of a relay or in this network, that do not carry WebSocket as they should.
var (
	// ErrUpgradeDropped means that the relay got a plain HTTP request instead of a WebSocket one.
	ErrUpgradeDropped = errors.New("a proxy on the way drops WebSocket: " +
		"have it pass the Upgrade and Connection headers on")
	// ErrHeldBack means that the connection was made, but the relay's first message did not arrive.
	ErrHeldBack = errors.New("it accepts the connection and then sends nothing: the relay hangs, " +
		"or a proxy on the way buffers what it sends; turn that buffering off")
)
