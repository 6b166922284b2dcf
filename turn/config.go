package turn

import (
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
	Address string // host:port of the UDP port; port 0 takes a free one
	Realm   string // default "peephole"; at most 64 bytes
	Keys    *Keys  // required

	// Streams accept the clients that come over TCP, with TLS already removed. A connection's RemoteAddr is taken as
	// its client's address, so behind a proxy it must be the one that the proxy passes on. The listener limits the
	// connections per address, and the time that one may take to begin.
	Streams []net.Listener

	// BindingAddress is the host:port of a second UDP port, which answers only Binding requests. With it, clients
	// learn how the NAT in front of them behaves. The customary port is the one after Address' (RFC 5780, section 6).
	// Empty: no second port.
	BindingAddress string

	// MaxLifetime is how long after its credential's expiry an allocation may still be refreshed: 24 hours by default
	// (a picture may be watched for a day, then a new grant is needed), at most 30 days. An allocation ends at most
	// one lifetime (an hour) after that.
	MaxLifetime time.Duration

	// MaxAllocations is how many allocations may live in this process: 65,536 by default, at most MaxAddresses.
	MaxAllocations int

	// MaxPerRole is how many allocations one role of a session may have, 16 by default: one for each way to this
	// server, and those left behind by reloads and ICE restarts.
	MaxPerRole int

	// MaxConns is how many connections each of Streams may have open, 65,536 by default.
	MaxConns int

	// Queue is how many packets, of at most 1,600 bytes, may wait for one client over TCP, 256 by default. Those
	// beyond are dropped and counted.
	Queue int

	// Limits apply in addition to those above. Default: none.
	Limits Limits

	// XDP names a network interface. ChannelData between UDP clients on it is forwarded before the kernel's network
	// stack sees it; package turn/xdp says what that needs. Clients on other interfaces are served without it.
	// Empty: no XDP.
	XDP string

	Now    func() time.Time // clock that judges expiry; default time.Now
	Logger *slog.Logger     // default: none

	sockets socketKind // the kernel features that a test leaves out
}

// withDefaults fills in the fields that are zero.
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
	}{
		{&c.MaxAllocations, 1 << 16},
		{&c.MaxPerRole, 16},
		{&c.MaxConns, 1 << 16},
		{&c.Queue, 256},
	} {
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

// Validate returns nil, or an error that says what is wrong and wraps ErrConfig.
func (c Config) Validate() error {
	c = c.withDefaults()

	tooManyAllocations := fmt.Sprintf("allocations not within 1 and %d", MaxAddresses)
	for _, rule := range []struct {
		bad  bool
		what string
	}{
		{c.Address == "", "no address"},
		{c.Keys == nil, "no keys"},
		{len(c.Realm) > 64, "realm longer than 64 bytes"},
		{c.MaxLifetime < 0 || c.MaxLifetime > 30*24*time.Hour, "lifetime not within 0 and 30 days"},
		{c.MaxAllocations < 1 || c.MaxAllocations > MaxAddresses, tooManyAllocations},
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
