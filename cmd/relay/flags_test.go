package main

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/relay"
	"github.com/peephole-cam/peephole/turn"
)

// configured returns the relay's configuration for the given flags.
func configured(t *testing.T, args ...string) relay.Config {
	t.Helper()
	c, err := parseConfig(append(args, "-state="+t.TempDir()), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := c.relay(slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// checkValues compares two configurations except for their functions and ticket keys.
func checkValues(t *testing.T, got, want relay.Config) {
	t.Helper()
	got.Certificate, got.TicketKey, got.Secret, got.P2PKey = nil, nil, nil, nil
	got.Observe, got.Logger = nil, nil
	if filepath.Base(got.Mail) == "mail" { // in the test's own folder
		got.Mail = "mail"
	}
	if g, w := fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", want); g != w {
		t.Errorf("the relay is configured with\n%s, want\n%s", g, w)
	}
}

func TestFlagsReachTheRelay(t *testing.T) {
	secret := bytes.Repeat([]byte{7}, turn.MinSecret)
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, secret, 0o600); err != nil {
		t.Fatal(err)
	}
	const also = "turn:192.0.2.2:3478?transport=udp"

	got := configured(t, "-listen=:443", "-public-url=https://relay.example", "-tls-self-signed",
		"-metrics=127.0.0.1:9100", "-turn=:3478", "-turn-public=relay.example:3479", "-turn-tls=:5349",
		"-turn-xdp=eth0", "-turn-mbit=7", "-turn-allocations=8", "-turn-secret="+file, "-turn-also="+also, "-drain=9s",
		"-drain-to=192.0.2.1:3478", "-admission=ticket", "-memory=64", "-node=east-1", "-trusted-proxies=10.0.0.0/8",
		"-proxy-header=forwarded", "-p2p=:4001", "-webtransport=:4443", "-nats-sync")
	checkValues(t, got, relay.Config{
		Listen:         ":443",
		PublicURL:      "https://relay.example",
		SelfSigned:     true,
		WebTransport:   ":4443",
		TURN:           ":3478",
		TURNPublic:     "relay.example:3479",
		TURNTLS:        ":5349",
		XDP:            "eth0",
		Mbit:           7,
		Allocations:    8,
		AlsoTURN:       []string{also},
		P2P:            ":4001",
		Drain:          9 * time.Second,
		DrainTo:        []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:3478")},
		Memory:         64 << 20,
		Mail:           "mail",
		MailSync:       true,
		Node:           "east-1",
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
		ProxyHeader:    relay.Forwarded,
		Metrics:        "127.0.0.1:9100",
	})

	if got.Certificate == nil || len(got.TicketKey) == 0 || got.Secret == nil || got.P2PKey == nil {
		t.Fatalf("certificate %t, ticket key %t, secret %t, p2p key %t", got.Certificate != nil, len(got.TicketKey) > 0,
			got.Secret != nil, got.P2PKey != nil)
	}
	if s, err := got.Secret(); err != nil || !bytes.Equal(s, secret) {
		t.Errorf("the secret is not the one in the file: %v", err)
	}
}

func TestFlagsDefaultToThisMachine(t *testing.T) {
	want := relay.Config{
		Listen:      "127.0.0.1:7880",
		TURN:        "127.0.0.1:3478",
		Allocations: 1 << 16,
		Memory:      1 << 30,
		Mail:        "mail",
		ProxyHeader: relay.XForwardedFor,
	}
	got := configured(t)
	checkValues(t, got, want)
	if got.Certificate != nil || got.TicketKey != nil || got.Secret != nil || got.P2PKey != nil {
		t.Errorf("certificate %t, ticket key %t, secret %t, p2p key %t", got.Certificate != nil, got.TicketKey != nil,
			got.Secret != nil, got.P2PKey != nil)
	}

	want.LoopbackUnlimited = true
	want.Mail = ""
	checkValues(t, configured(t, "-loopback-unlimited", "-nats=off"), want)
}

// Clients of one region among several have somewhere else to go when it restarts, and get the time for it.
func TestRegionDrains(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want time.Duration
	}{
		{nil, 0},
		{[]string{"-regions=map"}, regionDrain},
		{[]string{"-regions=map", "-drain=1h"}, time.Hour},
		{[]string{"-regions=map", "-drain=0"}, 0},
	} {
		if got := configured(t, tt.args...).Drain; got != tt.want {
			t.Errorf("%q: TURN keeps its clients for %v, want %v", tt.args, got, tt.want)
		}
	}
}
