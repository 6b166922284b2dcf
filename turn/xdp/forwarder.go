package xdp

import (
	"errors"
	"log/slog"
	"net/netip"
)

var (
	// ErrUnsupported is returned where this system, or this network card, cannot do it.
	ErrUnsupported = errors.New("not supported")
	// ErrFull is returned when there are as many clients, limits or routes as were asked for.
	ErrFull = errors.New("no room left")
	// ErrFamily is returned for a route whose addresses are not of one family.
	ErrFamily = errors.New("addresses of two families")
)

// Config says where to attach, and how much there will be.
type Config struct {
	Interface string       // by name; clients reach the server through it
	Port      uint16       // UDP, the server's
	Clients   int          // most at one time; there can be as many limits of their own besides, and four routes for each
	Logger    *slog.Logger // nil: silent
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
	Paces            []Pace // what the packet has to pass, four at most
}

// Headers is what a packet costs a limit beside its payload, in bytes: the headers of IPv6, of UDP and of ChannelData.
const Headers = 40 + 8 + 4

type (
	// Client is one end of routes, as AddClient numbered it.
	Client uint32
	// Pace is a limit, as AddPace numbered it.
	Pace uint32
)

// Counts are of ChannelData since the start.
type Counts struct {
	Packets, Bytes uint64 // forwarded; bytes of payload
	Limited        uint64 // packets beyond a limit
}
