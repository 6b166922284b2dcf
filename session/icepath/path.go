package icepath

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/logging"
	"github.com/pion/stun/v4"
	"github.com/pion/webrtc/v4"

	"github.com/peephole-cam/peephole/session/path"
	"github.com/peephole-cam/peephole/session/turnclient"
)

// ErrFailed is returned by Connect if no pair of candidates works. A path that breaks later closes Failed's channel.
var ErrFailed = errors.New("no pair of candidates works")

const (
	// The agent calls the path disconnected when nothing has arrived for silentAfter, and gives it up failAfter after
	// that.
	silentAfter = 2 * time.Second
	failAfter   = 10 * time.Second
	// aliveEvery is how often the agent checks the selected pair.
	aliveEvery = 400 * time.Millisecond
	// renominateEvery is how often the agent looks for a better pair.
	renominateEvery = time.Second
)

// Credentials are those of one end's agent (RFC 8445, section 5.3).
type Credentials struct{ UsernameFragment, Password string }

// Config is what an end needs for its path.
type Config struct {
	Controlling bool // this end nominates
	Own, Other  Credentials
	Client      *turnclient.Client // makes the sockets
	Username    string             // for the TURN servers of Client
	Credential  string
	RelayOnly   bool // show the other end and its network only the relay's address
	Loopback    bool // gather loopback candidates too: both ends are on one machine
	Logger      logging.LoggerFactory

	// called with each candidate of this end, on the agent's goroutine, and with nil when there are no more
	OnCandidate func(*webrtc.ICECandidate)
}

// Path is one end of a path.
type Path struct {
	cfg     Config
	agent   *ice.Agent
	relayed atomic.Bool
	failed  chan struct{} // closed when the agent gives up
}

// New makes an agent. Gather starts it.
func New(ctx context.Context, cfg Config) (*Path, error) {
	p := &Path{cfg: cfg, failed: make(chan struct{})}
	options, err := cfg.options(ctx)
	if err != nil {
		return nil, err
	}
	if p.agent, err = ice.NewAgentWithOptions(options...); err != nil {
		return nil, fmt.Errorf("make ice agent: %w", err)
	}

	err = errors.Join(
		p.agent.OnCandidate(p.gathered),
		p.agent.OnSelectedCandidatePairChange(p.selected),
		p.agent.OnConnectionStateChange(p.changed),
	)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make ice agent: %w", err), p.agent.Close())
	}
	return p, nil
}

// options returns pion's options: much like those of a picture's agent, but more patient, and without its failover.
func (c Config) options(ctx context.Context) ([]ice.AgentOption, error) {
	servers, err := c.servers(ctx)
	if err != nil {
		return nil, err
	}

	rounds := &atomic.Uint32{}
	options := []ice.AgentOption{
		ice.WithUrls(servers),
		ice.WithNet(c.Client.Net()),
		ice.WithLoggerFactory(c.Logger),
		ice.WithLocalCredentials(c.Own.UsernameFragment, c.Own.Password),
		ice.WithNetworkTypes([]ice.NetworkType{ice.NetworkTypeUDP4, ice.NetworkTypeUDP6}),
		ice.WithMulticastDNSMode(ice.MulticastDNSModeDisabled), // the other end is no browser
		ice.WithHostAcceptanceMinWait(0),
		ice.WithSrflxAcceptanceMinWait(0),
		ice.WithPrflxAcceptanceMinWait(0),
		ice.WithRelayAcceptanceMinWait(0),
		ice.WithDisconnectedTimeout(silentAfter),
		ice.WithFailedTimeout(failAfter),
		ice.WithKeepaliveInterval(aliveEvery),
		ice.WithMaxBindingRequests(path.MaxBindingRequests),
		ice.WithRenomination(func() uint32 { return rounds.Add(1) }),
		ice.WithAutomaticRenomination(renominateEvery),
	}

	if len(c.Client.TURNURLs()) > 0 {
		options = append(options, ice.WithProxyDialer(c.Client.Dialer()))
	}
	if c.RelayOnly {
		options = append(options, ice.WithCandidateTypes([]ice.CandidateType{ice.CandidateTypeRelay}))
	}
	if c.Loopback {
		options = append(options, ice.WithIncludeLoopback())
	}
	return options, nil
}

// servers returns the servers that this end uses.
func (c Config) servers(ctx context.Context) (servers []*stun.URI, err error) {
	urls := c.Client.TURNURLs()
	if !c.RelayOnly {
		urls = append(urls, c.Client.STUNURLs(ctx)...)
	}

	for _, u := range urls {
		server, err := stun.ParseURI(u)
		if err != nil {
			return nil, fmt.Errorf("read server's URL: %w", err)
		}
		if strings.HasPrefix(u, "turn") {
			server.Username, server.Password = c.Username, c.Credential
		}
		servers = append(servers, server)
	}
	return servers, nil
}

// Gather starts looking for this end's candidates.
func (p *Path) Gather() error {
	if err := p.agent.GatherCandidates(); err != nil {
		return fmt.Errorf("gather candidates: %w", err)
	}
	return nil
}

// AddCandidate makes the agent check a candidate of the other end (RFC 8839, section 5.1).
func (p *Path) AddCandidate(text string) error {
	c, err := ice.UnmarshalCandidate(text)
	if err != nil {
		return fmt.Errorf("parse candidate: %w", err)
	}
	if err := p.agent.AddRemoteCandidate(c); err != nil {
		return fmt.Errorf("add candidate: %w", err)
	}
	return nil
}

// Connect waits until a pair works, and returns the path as a packet connection: it reads only what the other end
// sends, and sends everything there, whatever address is given. Close ends it.
func (p *Path) Connect(ctx context.Context) (net.PacketConn, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-p.failed:
			cancel(ErrFailed)
		case <-ctx.Done():
		}
	}()

	connect := p.agent.Accept
	if p.cfg.Controlling {
		connect = p.agent.Dial
	}
	conn, err := connect(ctx, p.cfg.Other.UsernameFragment, p.cfg.Other.Password)
	if err != nil {
		return nil, fmt.Errorf("find a path: %w", errors.Join(err, context.Cause(ctx)))
	}
	return packets{conn}, nil
}

// Relayed reports whether the path leads through a TURN server.
func (p *Path) Relayed() bool { return p.relayed.Load() }

// Failed returns a channel that is closed when the path has broken for good.
func (p *Path) Failed() <-chan struct{} { return p.failed }

// Close ends the path and waits until its sockets are closed.
func (p *Path) Close() error {
	if err := p.agent.GracefulClose(); err != nil {
		return fmt.Errorf("close ice agent: %w", err)
	}
	return nil
}

// gathered tells of a candidate of this end; nil means that there are no more.
func (p *Path) gathered(c ice.Candidate) {
	if c == nil {
		p.cfg.OnCandidate(nil)
	} else if d := described(c); d != nil {
		p.cfg.OnCandidate(d)
	}
}

func (p *Path) selected(own, other ice.Candidate) {
	p.relayed.Store(own.Type() == ice.CandidateTypeRelay || other.Type() == ice.CandidateTypeRelay)
}

// changed notes the state of the agent, which calls it from one goroutine.
func (p *Path) changed(to ice.ConnectionState) {
	if to == ice.ConnectionStateFailed || to == ice.ConnectionStateClosed {
		select {
		case <-p.failed:
		default:
			close(p.failed)
		}
	}
}

// described returns a candidate as pion/webrtc describes it; nil if it has no words for it.
func described(c ice.Candidate) *webrtc.ICECandidate {
	typ, err := webrtc.NewICECandidateType(c.Type().String())
	if err != nil {
		return nil
	}
	protocol, err := webrtc.NewICEProtocol(c.NetworkType().NetworkShort())
	if err != nil {
		return nil
	}

	d := &webrtc.ICECandidate{
		Foundation: c.Foundation(),
		Priority:   c.Priority(),
		Address:    c.Address(),
		Protocol:   protocol,
		Port:       uint16(c.Port()),
		Typ:        typ,
		Component:  c.Component(),
	}
	if r := c.RelatedAddress(); r != nil {
		d.RelatedAddress, d.RelatedPort = r.Address, uint16(r.Port)
	}
	return d
}

// packets is a connection over an agent's selected pair.
type packets struct{ *ice.Conn }

// otherEnd is the address of the other end, whatever pair leads there.
type otherEnd struct{}

func (otherEnd) Network() string { return "udp" }
func (otherEnd) String() string  { return "the other end" }

func (c packets) LocalAddr() net.Addr { return otherEnd{} }

func (c packets) ReadFrom(b []byte) (int, net.Addr, error) {
	n, err := c.Read(b)
	return n, otherEnd{}, err
}

// WriteTo sends a packet. Its errors are pion's: a packet that the pair refuses is not sent.
func (c packets) WriteTo(b []byte, _ net.Addr) (int, error) { return c.Write(b) }
