package xdp

import (
	"errors"
	"log/slog"
	"net/netip"
)

var (
	// ErrUnsupported is returned if this system, or this network card, cannot do it.
	ErrUnsupported = errors.New("not supported")
	// ErrFull is returned when there are as many clients, token buckets or routes as Config allows.
	ErrFull = errors.New("no room left")
	// ErrFamily is returned for a route whose addresses are not all of one family.
	ErrFamily = errors.New("addresses of two families")
)

// Config says where to attach, and how much there will be.
type Config struct {
	Interface string // by name; clients reach the server through it
	Port      uint16 // UDP, the server's

	// Clients is how many there may be at a time. There may be as many token buckets of their own besides, and four
	// routes for each.
	Clients int

	Logger *slog.Logger // nil: silent
}

// Channel is ChannelData as its sender sends it.
type Channel struct {
	Client netip.AddrPort
	Number uint16 // 0x4000 to 0x4fff
}

// Route is what becomes of it.
type Route struct {
	Server           netip.Addr // where the sender reaches the server
	Via              netip.Addr // the address that the receiver knows the server by
	To               Channel    // the receiver, and its channel for the sender
	Sender, Receiver Client
	Buckets          []TokenBucket // that the packet has to pass, four at most
}

// Headers is what a packet costs a token bucket besides its payload, in bytes: the headers of IPv6, UDP and
// ChannelData.
const Headers = 40 + 8 + 4

type (
	// Client is one end of routes, as AddClient numbered it.
	Client uint32
	// TokenBucket is a limit, as AddTokenBucket numbered it.
	TokenBucket uint32
)

// Counts are of ChannelData since the start.
type Counts struct {
	Packets, Bytes uint64 // forwarded; bytes of payload
	Limited        uint64 // packets beyond a limit
}
