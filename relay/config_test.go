package relay

import (
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestZeroConfigIsValid(t *testing.T) {
	if err := (Config{}).Validate(); err != nil {
		t.Error(err)
	}
}

func TestConfigThatCannotWorkIsRefused(t *testing.T) {
	certificate := func(string) (*tls.Certificate, error) { return nil, nil }
	everybody, thisMachine := netip.MustParsePrefix("::/0"), netip.MustParsePrefix("127.0.0.1/32")
	for _, tt := range []struct {
		cfg  Config
		want string
	}{
		{Config{Listen: "7880"}, `Listen "7880": want HOST:PORT`},
		{Config{Listen: "192.0.2.1:80"}, "plain HTTP is served on a loopback address only"},
		{Config{Listen: ":443", Certificate: certificate}, "names no host: set PublicURL"},
		{Config{TURN: "3478"}, `TURN "3478": want HOST:PORT`},
		{Config{TURN: "127.0.0.1:"}, `TURN "127.0.0.1:": want a port from 0 to 65535`},
		{Config{TURN: "127.0.0.1:65536"}, "want a port from 0 to 65535"},
		{Config{TURNPublic: "relay.example"}, `TURNPublic "relay.example": want HOST:PORT`},
		{Config{TURNPublic: ":3478"}, `TURNPublic ":3478": want HOST:PORT`},
		{Config{TURNPublic: "relay.example:0"}, "want a port from 1 to 65535"},
		{Config{TURNTLS: "on"}, `TURNTLS "on": want HOST:PORT`},
		{Config{Metrics: "9100"}, `Metrics "9100": want HOST:PORT`},
		{Config{TURNTLS: ":5349"}, "TURNTLS :5349: TLS needs a Certificate"},
		{Config{Allocations: -1}, "Allocations -1: want 1 to "},
		{Config{Mbit: -1}, "Mbit -1: want 0 or more"},
		{Config{AlsoTURN: []string{"turn:relay.example:3478?transport=udp"}}, "give both the same Secret"},
		{Config{AlsoTURN: []string{"relay.example:3478"}, Secret: freshSecret},
			`AlsoTURN "relay.example:3478": want turn:HOST:PORT?transport=udp`},
		{Config{AlsoTURN: slices.Repeat([]string{"turn:relay.example:3478?transport=udp"}, 5), Secret: freshSecret},
			"AlsoTURN: want 4 URLs at most"},
		{Config{DrainTo: []netip.AddrPort{{}}}, "DrainTo invalid AddrPort: want an IP address and a port"},
		{Config{DrainTo: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:0")}}, "DrainTo 192.0.2.1:0: want"},
		{Config{Drain: -1}, "Drain -1ns: want 0 or more"},
		{Config{Memory: -1}, "Memory -1: want 0 or more"},
		{Config{Node: "other"}, "node "},
		{Config{Mail: "mail", NATS: []string{"tls://nats.example"}}, "fields Mail and NATS: messages are kept in one"},
		{Config{NATS: []string{"nats://192.0.2.1"}}, "field NATS: nats://192.0.2.1 is not encrypted"},
		{Config{ProxyHeader: "via"}, `ProxyHeader "via": want x-forwarded-for, forwarded or proxy-protocol`},
		{Config{TrustedProxies: []netip.Prefix{everybody}}, "that is everybody"},
		{Config{TrustedProxies: []netip.Prefix{thisMachine}, LoopbackUnlimited: true},
			"proxy on this machine must be limited"},
		{Config{PublicURL: "https://relay.example", LoopbackUnlimited: true},
			"clients of PublicURL come through a proxy"},
		{Config{PublicURL: "https://relay.example/path"}, "PublicURL: want https://HOST"},
		{Config{PublicURL: "https://Relay.example"}, "PublicURL: want it spelled https://relay.example"},
		{Config{PublicURL: "relay.example"}, "PublicURL: want https://HOST"},
		{Config{PublicURL: "http://relay.example"}, "PublicURL: want https://"},
		{Config{PublicURL: "http://localhost", Certificate: certificate}, "since there is a Certificate"},
	} {
		err := tt.cfg.Validate()
		if !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: %v, want %q", tt.cfg, err, tt.want)
		}
		if r, err := New(tt.cfg); r != nil || !errors.Is(err, ErrConfig) {
			t.Errorf("%+v: New returns %v", tt.cfg, err)
		}
	}
}

func TestAddressesOfEveryFormAreAccepted(t *testing.T) {
	for _, cfg := range []Config{
		{Listen: "localhost:http", TURN: ":0", Metrics: "[::1]:9100"},
		{TURNPublic: "relay.example:3478", TURNTLS: NoTURNTLS},
		{Secret: freshSecret, AlsoTURN: []string{
			"turn:192.0.2.1:3478?transport=udp",
			"turn:[2001:db8::1]:3478?transport=tcp",
			"turns:relay.example:443?transport=tcp",
		}},
	} {
		if err := cfg.Validate(); err != nil {
			t.Errorf("%+v: %v", cfg, err)
		}
	}
}

func TestPortThatIsTakenIsNamed(t *testing.T) {
	taken := listenTCP(t)
	for field, cfg := range map[string]Config{
		"Listen":  {Listen: taken.Addr().String(), TURN: "127.0.0.1:0"},
		"TURN":    {Listen: "127.0.0.1:0", TURN: taken.Addr().String()},
		"Metrics": {Listen: "127.0.0.1:0", TURN: "127.0.0.1:0", Metrics: taken.Addr().String()},
	} {
		r, err := New(cfg)
		var listening *ListenError
		if r != nil || !errors.As(err, &listening) || listening.Field != field || !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("%s is taken: %v", field, err)
		}
	}
}

func TestCloseGivesThePortsBack(t *testing.T) {
	r := newRelay(t)
	if err := errors.Join(r.Close(), r.Close()); err != nil {
		t.Error(err)
	}
	if err := r.main.Listener.(*net.TCPListener).SetDeadline(time.Now()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the port is still open: %v", err)
	}
}
