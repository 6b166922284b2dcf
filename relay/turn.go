package relay

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/peephole-cam/peephole/netlimit"
	"github.com/peephole-cam/peephole/signaling"
	"github.com/peephole-cam/peephole/signaling/region"
	"github.com/peephole-cam/peephole/turn"
)

const (
	rotateEvery = time.Hour
	// grantTTL is less than rotateEvery, so that a credential survives the one rotation that may happen in its life.
	grantTTL = 30 * time.Minute
)

// turnReserve is how many of TURN's allocations a ticket or a network gets under any pressure, as long as some are
// left. It is enough for the sessions of a household.
const turnReserve = 64

// Bounds on the allocations that a ticket has through one mailbox, so that one viewer leaves most of them to the
// others. A viewer can ask through eleven mailboxes: those of three days, and of eight sessions. The lower bound is
// what one session may take.
const (
	maxThrough = 128
	minThrough = 32
)

// turnLimits returns how much of TURN one household and one address may take. An address may belong to a carrier and
// stand for thousands of households. Tickets and addresses have separate allocations. The kind by which the relay
// admits clients gets most.
func turnLimits(c *Config) turn.Limits {
	share := func(free float64) netlimit.Share { return netlimit.Share{Free: free, Min: turnReserve} }
	ticket := share(1. / 4)
	ticket.Max = 4096
	l := turn.Limits{
		Payers:            netlimit.Config{Named: ticket},
		Addresses:         netlimit.Config{IPv4: share(1), Host: share(1. / 4), Site: share(1. / 2), Network: share(1)},
		AddressRequests:   200,
		Requests:          netlimit.Config{Size: 20_000},
		GroupRequests:     200,
		AllocationRate:    64e6 / 8, // twice the bit rate of the best cameras
		PayerRate:         256e6 / 8,
		ClientRate:        1e9 / 8,
		ServerRate:        int64(c.Mbit) * 1e6 / 8,
		LoopbackUnlimited: c.LoopbackUnlimited,
	}

	rest := max(int64(c.Allocations)/8, 1)
	most := max(int64(c.Allocations)-rest, 1)
	l.Addresses.Size, l.Payers.Size = most, rest
	if c.TicketKey != nil {
		l.Addresses.Size, l.Payers.Size = rest, most
	}

	// An issuer's allocations count toward the payers' pool too, so there are no more of them than of those.
	l.Issuers = netlimit.Config{Size: l.Payers.Size, Named: share(1. / 2)}

	l.GroupAllocations = int(min(maxThrough, max(l.Payers.Size/128, minThrough)))
	return l
}

// turnService is the TURN server with its keys. Unless several relays share a secret, the keys are never written to
// disk, so sessions ask for new grants after a restart. turnService is the signaling server's Granter.
type turnService struct {
	server *turn.Server
	keys   *turn.Keys
	secret func() ([]byte, error) // returns the secret from which the keys are made
	urls   []string
	log    *slog.Logger

	others atomic.Pointer[map[string]region.Region] // where this relay grants access too, by name; nil: nowhere
}

// turnStreams are the listeners of TURN over TCP.
type turnStreams struct {
	tcp    net.Listener
	tls    net.Listener // with TLS removed; nil if there is none
	shared net.Listener // the main port's; nil if there is none
}

// newTURN opens the UDP ports. After that, the TURN server owns the listeners.
func newTURN(c *Config, relayURL string, streams turnStreams, log *slog.Logger) (*turnService, error) {
	read := c.Secret
	if read == nil {
		read = freshSecret
	}
	secret, err := read()
	if err != nil {
		return nil, err
	}

	keys, err := turn.NewKeys(secret, nil)
	if err != nil {
		return nil, fmt.Errorf("make TURN keys: %w", err)
	}

	cfg := turn.Config{
		Address:        c.TURN,
		BindingAddress: portAfter(c.TURN),
		Keys:           keys,
		MaxAllocations: c.Allocations,
		Limits:         turnLimits(c),
		XDP:            c.XDP,
		Logger:         log,
	}

	for _, l := range []net.Listener{streams.tcp, streams.tls, streams.shared} {
		if l != nil {
			cfg.Streams = append(cfg.Streams, l)
		}
	}

	server, err := turn.New(cfg)
	if errors.Is(err, turn.ErrXDP) {
		return nil, err
	}
	if err != nil { // perhaps only because of the second port, which the relay can do without
		cfg.BindingAddress = ""
		if server, err = turn.New(cfg); err == nil {
			log.Warn("the UDP port after TURN's is taken: devices cannot tell what kind of NAT they are behind", "port",
				portAfter(c.TURN))
		}
	}
	if err != nil {
		return nil, &ListenError{Field: "TURN", Address: c.TURN, Err: err}
	}

	return &turnService{
		server: server,
		keys:   keys,
		secret: read,
		urls:   append(c.turnURLs(server.Addresses(), streams, relayURL), c.AlsoTURN...),
		log:    log,
	}, nil
}

// freshSecret returns a secret that no other relay has.
func freshSecret() ([]byte, error) {
	b := make([]byte, turn.MinSecret)
	rand.Read(b)
	return b, nil
}

// portAfter returns an address with the next port. It returns the address itself if its port is 0, a name, or the last.
func portAfter(address string) string {
	host, port, err := net.SplitHostPort(address)
	n, err2 := strconv.ParseUint(port, 10, 16)
	if err != nil || err2 != nil || n == 0 || n == 1<<16-1 {
		return address
	}
	return net.JoinHostPort(host, strconv.FormatUint(n+1, 10))
}

// turnURLs returns the ICE server URLs (RFC 7064, RFC 7065) for clients: TURN over UDP, TCP and TLS, and the second
// port for STUN. TLS needs the host name that is in the certificate.
func (c *Config) turnURLs(at turn.Addresses, streams turnStreams, relayURL string) []string {
	name := hostname(relayURL)
	host := name
	if ip := at.UDP.Addr(); !ip.IsUnspecified() {
		host = ip.String()
	}

	url := func(scheme, host string, port uint16, transport string) string {
		return fmt.Sprintf("%s:%s?transport=%s", scheme, net.JoinHostPort(host, fmt.Sprint(port)), transport)
	}

	var urls []string
	if c.TURNPublic != "" {
		urls = append(urls, "turn:"+c.TURNPublic+"?transport=udp", "turn:"+c.TURNPublic+"?transport=tcp")
	} else {
		urls = append(urls, url("turn", host, at.UDP.Port(), "udp"), url("turn", host, portOf(streams.tcp), "tcp"))
	}

	if streams.tls != nil {
		urls = append(urls, url("turns", name, portOf(streams.tls), "tcp"))
	}

	_, public, _ := net.SplitHostPort(c.TURNPublic)
	switch {
	case !at.Binding.IsValid():
	case c.TURNPublic == "":
		urls = append(urls, "stun:"+net.JoinHostPort(host, fmt.Sprint(at.Binding.Port())))
	case public == fmt.Sprint(at.UDP.Port()): // the NAT in front seems to keep port numbers
		urls = append(urls, "stun:"+portAfter(c.TURNPublic))
	}

	switch {
	case streams.shared != nil && c.Certificate != nil:
		urls = append(urls, "turns:"+hostport(relayURL, "443")+"?transport=tcp")
	case streams.shared != nil:
		urls = append(urls, "turn:"+hostport(relayURL, "80")+"?transport=tcp")
	}

	return urls
}

// portOf returns the port of a TCP listener.
func portOf(l net.Listener) uint16 {
	if at, ok := l.Addr().(*net.TCPAddr); ok {
		return at.AddrPort().Port()
	}
	return 0
}

// Run serves until ctx ends, and replaces the keys every hour.
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

// renew makes the next keys if the secret has changed. A secret in a file may be the same as before.
func (t *turnService) renew() error {
	secret, err := t.secret()
	if err != nil {
		return err
	}
	if err := t.keys.Rotate(secret); !errors.Is(err, turn.ErrSecret) {
		return err
	}
	return nil
}

// Grant implements the signaling server's Granter. A ticket pays for everything that its sessions take, until it
// revokes the mailbox through which clients asked for them. Without a ticket, each end's own address pays.
func (t *turnService) Grant(
	payer string, through signaling.Name, name string, now time.Time,
) (signaling.Grant, error) {
	mailbox := string(through[:])
	if !strings.HasPrefix(payer, "ticket ") {
		payer, mailbox = "", ""
	}
	if other, ok := t.other(name); ok {
		g, err := t.keys.GrantAt(other.PublicKey(), payer, mailbox, now, grantTTL)
		if err == nil { // otherwise a new map has come meanwhile
			return grantOf(g, other.Name, regionURLs(other)), nil
		}
	}

	g, err := t.keys.GrantThrough(payer, mailbox, now, grantTTL)
	if err != nil {
		return signaling.Grant{}, err
	}
	return grantOf(g, "", t.urls), nil
}

// grantOf returns a grant as clients get it. name is the region's, if it is another one.
func grantOf(g turn.Grant, name string, urls []string) signaling.Grant {
	ends := func(c turn.Credential) signaling.Credentials {
		return signaling.Credentials{Username: c.Username, Credential: c.Password}
	}
	return signaling.Grant{
		Region: name,
		URLs:   urls,
		TTL:    int(grantTTL / time.Second),
		Viewer: ends(g.Viewer),
		Camera: ends(g.Camera),
	}
}

// Revoke implements the signaling server's Granter.
func (t *turnService) Revoke(through signaling.Name) { t.server.Revoke(string(through[:])) }

// check asks the TURN server for a binding (RFC 8489, section 2.1). The server answers only while it serves.
func (t *turnService) check(ctx context.Context) error {
	return askBinding(ctx, "TURN", t.server.Addresses().UDP)
}

// askBinding asks a port of the relay for a binding. name is what its error calls the port.
func askBinding(ctx context.Context, name string, at netip.AddrPort) error {
	if at.Addr().IsUnspecified() {
		at = netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), at.Port())
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "udp", at.String())
	if err != nil {
		return fmt.Errorf("dial %s: %w", name, err)
	}
	defer conn.Close()

	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return fmt.Errorf("dial %s: %w", name, err)
		}
	}

	request := []byte{0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 19: 0} // binding request, no attributes, magic cookie
	rand.Read(request[8:])
	if _, err := conn.Write(request); err != nil {
		return fmt.Errorf("ask %s: %w", name, err)
	}
	answer := make([]byte, 1500)
	n, err := conn.Read(answer)
	if err != nil {
		return fmt.Errorf("%s does not answer: %w", name, err)
	}
	if n < len(request) || answer[0] != 1 || string(answer[8:20]) != string(request[8:]) {
		return fmt.Errorf("%s answers with something else", name)
	}
	return nil
}
