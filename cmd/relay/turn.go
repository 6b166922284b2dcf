package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strconv"
	"time"

	"github.com/peephole-cam/peephole/signaling"
	"github.com/peephole-cam/peephole/turn"
)

const (
	rotateEvery = time.Hour
	// grantTTL is below rotateEvery, so that a credential outlives the one rotation that it may meet.
	grantTTL = 30 * time.Minute
)

// turnLimits are what one household, and one address, may take of TURN. An address may be a carrier's, and thousands of households.
var turnLimits = turn.Limits{
	PayerAllocations:  4096,
	ClientAllocations: 16384,
	AllocationRate:    64e6 / 8, // twice the bit rate of the best cameras
	PayerRate:         256e6 / 8,
	ClientRate:        1e9 / 8,
}

// turnService is the TURN server with its keys. Unless the operator gives a secret for several relays, they are never written: after a
// restart sessions ask for new grants. It is the signaling server's Granter.
type turnService struct {
	server *turn.Server
	keys   *turn.Keys
	secret string // the file of the keys' secret; empty: this process makes them
	urls   []string
	log    *slog.Logger
}

// newTURN takes the ports. secure is the main port's TLS, nil: none; shared are the TURN connections of that port, nil: none.
func newTURN(c *config, relayURL string, secure *tls.Config, shared net.Listener, log *slog.Logger) (*turnService, error) {
	secret, err := readSecret(c.turnSecret)
	if err != nil {
		return nil, err
	}
	keys, err := turn.NewKeys(secret, nil)
	if err != nil {
		return nil, fmt.Errorf("make TURN keys: %w", err)
	}
	limits := turnLimits
	limits.ServerRate = int64(c.turnMbit) * 1e6 / 8
	cfg := turn.Config{
		Address: c.turn, BindingAddress: portAfter(c.turn), Keys: keys, Shared: shared,
		MaxAllocations: c.turnAllocations, Limits: limits, XDP: c.turnXDP, Logger: log,
	}
	flags, at := "-turn", c.turn
	if c.turnTLS != "" && c.turnTLS != noTURNTLS {
		cfg.TLSAddress, cfg.TLS = c.turnTLS, withProtocols(secure, alpnTURN)
		flags, at = "-turn or -turn-tls", c.turn+" and "+c.turnTLS
	}
	server, err := turn.New(cfg)
	if errors.Is(err, turn.ErrXDP) {
		return nil, fmt.Errorf("-turn-xdp %s: %w; without -turn-xdp everything works, with more work for the processor", c.turnXDP, err)
	}
	if err != nil { // perhaps for the second port alone, which is not worth failing for
		cfg.BindingAddress = ""
		if server, err = turn.New(cfg); err == nil {
			log.Warn("the UDP port after -turn's is taken: devices cannot tell what kind of NAT they are behind", "port", portAfter(c.turn))
		}
	}
	if err != nil {
		return nil, fmt.Errorf("start TURN: %w", listenAdvice(flags, at, err))
	}
	also, _ := c.also() // validated
	return &turnService{server: server, keys: keys, secret: c.turnSecret, urls: append(c.turnURLs(server, relayURL), also...), log: log}, nil
}

// maxSecret bounds what is read of a -turn-secret file.
const maxSecret = 4096

// readSecret returns what is in a file; with none named, fresh bytes.
func readSecret(path string) ([]byte, error) {
	if path == "" {
		b := make([]byte, turn.MinSecret)
		rand.Read(b)
		return b, nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read -turn-secret: %w; make one with head -c 32 /dev/urandom, and give it to each of your relays", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("-turn-secret is readable by others: run chmod 600 %s", path)
	}
	secret, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read -turn-secret: %w", err)
	}
	if len(secret) < turn.MinSecret || len(secret) > maxSecret {
		return nil, fmt.Errorf("-turn-secret %s has %d bytes: want %d to %d random ones", path, len(secret), turn.MinSecret, maxSecret)
	}
	return secret, nil
}

// portAfter is an address with the next port; with port 0, any free one, and with a port that has no next or a name, itself.
func portAfter(address string) string {
	host, port, err := net.SplitHostPort(address)
	n, err2 := strconv.ParseUint(port, 10, 16)
	if err != nil || err2 != nil || n == 0 || n == 1<<16-1 {
		return address
	}
	return net.JoinHostPort(host, strconv.FormatUint(n+1, 10))
}

// turnURLs are the ICE server URLs (RFC 7065) that clients are given.
func (c *config) turnURLs(s *turn.Server, relayURL string) []string {
	at, name := s.Addresses(), hostname(relayURL) // the certificate's name
	var urls []string
	switch {
	case c.turnPublic != "":
		urls = []string{"turn:" + c.turnPublic + "?transport=udp", "turn:" + c.turnPublic + "?transport=tcp"}
		if _, port, _ := net.SplitHostPort(c.turnPublic); at.Binding.IsValid() && port == fmt.Sprint(at.UDP.Port()) {
			urls = append(urls, "stun:"+portAfter(c.turnPublic)) // mapped one to one, as it seems
		}
		if at.TLS.IsValid() {
			urls = append(urls, "turns:"+net.JoinHostPort(name, fmt.Sprint(at.TLS.Port()))+"?transport=tcp")
		}
	case at.UDP.Addr().IsUnspecified():
		urls = s.URLs(name, name)
	default:
		urls = s.URLs(at.UDP.Addr().String(), name)
	}
	switch {
	case !c.shares(relayURL):
		return urls
	case c.tls():
		return append(urls, "turns:"+hostport(relayURL, "443")+"?transport=tcp")
	}
	return append(urls, "turn:"+hostport(relayURL, "80")+"?transport=tcp")
}

// Run serves until ctx ends and replaces the keys every hour.
func (t *turnService) Run(ctx context.Context) error {
	done := make(chan struct{})
	rotating, stop := context.WithCancel(ctx)
	go func() { defer close(done); t.rotate(rotating) }()
	err := t.server.Run(ctx)
	stop()
	<-done
	return err
}

func (t *turnService) rotate(ctx context.Context) {
	ticker := time.NewTicker(rotateEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if err := t.renew(); err != nil {
				t.log.Error("rotate TURN keys", "err", err)
			}
		}
	}
}

// renew takes the next secret, if there is one: a file may be as it was.
func (t *turnService) renew() error {
	secret, err := readSecret(t.secret)
	if err != nil {
		return err
	}
	if err := t.keys.Rotate(secret); !errors.Is(err, turn.ErrSecret) {
		return err
	}
	return nil
}

// Grant implements the signaling server's Granter.
func (t *turnService) Grant(payer string, now time.Time) (signaling.Grant, error) {
	g, err := t.keys.Grant(payer, now, grantTTL)
	if err != nil {
		return signaling.Grant{}, err
	}
	ends := func(c turn.Credential) signaling.Credentials {
		return signaling.Credentials{Username: c.Username, Credential: c.Password}
	}
	return signaling.Grant{URLs: t.urls, TTL: int(grantTTL / time.Second), Viewer: ends(g.Viewer), Camera: ends(g.Camera)}, nil
}

// check asks the TURN server for a binding (RFC 8489, section 2.1): only one that serves answers.
func (t *turnService) check(ctx context.Context) error {
	at := t.server.Addresses().UDP
	if at.Addr().IsUnspecified() {
		at = netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), at.Port())
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "udp", at.String())
	if err != nil {
		return fmt.Errorf("dial TURN: %w", err)
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return fmt.Errorf("dial TURN: %w", err)
		}
	}
	request := []byte{0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 19: 0} // binding request, no attributes, magic cookie
	rand.Read(request[8:])
	if _, err := conn.Write(request); err != nil {
		return fmt.Errorf("ask TURN: %w", err)
	}
	answer := make([]byte, 1500)
	n, err := conn.Read(answer)
	if err != nil {
		return fmt.Errorf("TURN does not answer: %w", err)
	}
	if n < len(request) || answer[0] != 1 || string(answer[8:20]) != string(request[8:]) {
		return fmt.Errorf("TURN answers with something else")
	}
	return nil
}
