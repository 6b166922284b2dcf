package turn

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"
)

// ErrConfig is returned by Config.Validate.
var ErrConfig = errors.New("bad configuration")

// Config is what a Server is made from. Zero values mean the defaults named here.
type Config struct {
	Address    string       // host:port of the UDP and the TCP listener; port 0 takes a free one for each
	TLSAddress string       // host:port of the TLS listener; empty: none
	TLS        *tls.Config  // certificates of the TLS listener; required by TLSAddress
	Shared     net.Listener // accepts the TURN connections of a port that serves something else too, with TLS taken off; nil: none
	Realm      string       // default "peephole"; at most 64 bytes
	Keys       *Keys        // required

	// BindingAddress is the host:port of a second UDP port, which answers Binding requests alone; empty: none. By it clients
	// learn how the NAT in front of them behaves. The customary port is the one after Address' (RFC 5780, section 6).
	BindingAddress string

	// MaxLifetime is for how long after its credential's expiry an allocation may still be refreshed, 24 hours by
	// default: a picture may be watched for a day, then a new grant is needed. An allocation ends at most one
	// lifetime (an hour) after that. At most 30 days.
	MaxLifetime time.Duration

	MaxAllocations int // alive in this process; default 65,536, at most MaxAddresses
	MaxPerRole     int // alive per session and role; default 16: one for each way to this server, and those it left behind by reloading or ICE restart
	MaxConns       int // open TCP, open TLS and open shared connections; default 65,536 each
	Queue          int // packets waiting for one TCP or TLS client, each at most 1,600 bytes; default 256; more are dropped and counted

	Limits Limits // beyond those; default: none

	// XDP is a network interface, by its name, where ChannelData between UDP clients are forwarded before the kernel's network stack sees
	// them; see package turn/xdp for what that needs. Clients that come through another interface are served without. Empty: nowhere.
	XDP string

	Now    func() time.Time // clock that judges expiry; default time.Now
	Logger *slog.Logger     // default: none

	sockets socketKind // what tests leave out of what the kernel offers
}

// withDefaults fills in what was left zero.
func (c Config) withDefaults() Config {
	if c.Realm == "" {
		c.Realm = "peephole"
	}
	if c.MaxLifetime == 0 {
		c.MaxLifetime = 24 * time.Hour
	}
	for _, f := range []struct {
		field *int
		value int
	}{{&c.MaxAllocations, 1 << 16}, {&c.MaxPerRole, 16}, {&c.MaxConns, 1 << 16}, {&c.Queue, 256}} {
		if *f.field == 0 {
			*f.field = f.value
		}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// Validate returns ErrConfig, wrapped in what is wrong.
func (c Config) Validate() error {
	c = c.withDefaults()
	for _, rule := range []struct {
		bad  bool
		what string
	}{
		{c.Address == "", "no address"},
		{c.Keys == nil, "no keys"},
		{c.TLSAddress != "" && c.TLS == nil, "a TLS address without a certificate"},
		{len(c.Realm) > 64, "realm longer than 64 bytes"},
		{c.MaxLifetime < 0 || c.MaxLifetime > 30*24*time.Hour, "lifetime not within 0 and 30 days"},
		{c.MaxAllocations < 1 || c.MaxAllocations > MaxAddresses, fmt.Sprintf("allocations not within 1 and %d", MaxAddresses)},
		{c.MaxPerRole < 1 || c.MaxPerRole > 64, "allocations per role not within 1 and 64"},
		{c.MaxConns < 1, "connections less than 1"},
		{!c.Limits.valid(), "a negative limit"},
		{c.Queue < 1 || c.Queue > 1<<16, "queue not within 1 and 65,536"},
	} {
		if rule.bad {
			return fmt.Errorf("%s: %w", rule.what, ErrConfig)
		}
	}
	return nil
}
