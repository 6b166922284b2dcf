package session

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/interceptor/pkg/report"
	"github.com/pion/interceptor/pkg/twcc"
	"github.com/pion/logging"
	"github.com/pion/rtcp"
	"github.com/pion/transport/v5"
	"github.com/pion/webrtc/v4"

	"github.com/peephole-cam/peephole/media"
	"github.com/peephole-cam/peephole/nat/punch"
	"github.com/peephole-cam/peephole/session/handshake"
	"github.com/peephole-cam/peephole/session/path"
	"github.com/peephole-cam/peephole/session/stream"
	"github.com/peephole-cam/peephole/session/turnclient"
)

// stallAfter is how long nothing may arrive before the session counts as stalled.
const stallAfter = 700 * time.Millisecond

// reportEvery is how often a viewer's end reports which packets arrived, and when.
const reportEvery = 50 * time.Millisecond

// peerConfig is what either end needs for its connection.
type peerConfig struct {
	carriers  []media.Carrier // those that this end may negotiate, best first
	turn      *handshake.TURN
	trust     *tls.Config // verifies TURN servers over TLS; nil means the system's roots
	relayOnly bool
	loopback  bool              // gather loopback candidates too: both ends are on one machine
	hello     handshake.Message // the first record on the data channel
	// called with the other end's reports about this end's packets; nil if this end sends no media
	feedback func(*rtcp.TransportLayerCC)
	network  transport.Net // nil means the machine's
	log      *slog.Logger
}

// peer is a pion PeerConnection, with the data channel that every session has.
type peer struct {
	pc   *webrtc.PeerConnection
	data *webrtc.DataChannel

	out   recordChannel     // data, except in tests
	hello handshake.Message // the first record on the data channel
	said  bool              // hello has been sent; owned by the session's goroutine

	sockets   *punch.Sockets // nil if this end does not guess ports
	packets   foreignPackets
	failover  pairFailover
	triggered *path.TriggeredCheck
	taken     quota // counts the other end's candidates; owned by the session's goroutine
	offered   quota // counts this end's candidates; owned by the session's goroutine
}

// recordChannel carries records. *webrtc.DataChannel implements it.
type recordChannel interface {
	ReadyState() webrtc.DataChannelState
	Send(record []byte) error
}

// newPeer makes a peer connection. When ctx ends, it stops connecting to TURN servers.
func newPeer(ctx context.Context, cfg peerConfig) (*peer, error) {
	p := &peer{hello: cfg.hello, triggered: path.NewTriggeredCheck(), taken: make(quota), offered: make(quota)}
	client, sockets, err := newTURNClient(ctx, cfg)
	if err != nil {
		return nil, err
	}
	p.sockets = sockets
	settings, err := p.settings(cfg, client)
	if err != nil {
		return nil, err
	}

	engine, err := newMediaEngine(cfg.carriers)
	if err != nil {
		return nil, err
	}
	interceptors, err := newInterceptors(engine, settings.LoggerFactory)
	if err != nil {
		return nil, err
	}

	api := webrtc.NewAPI(
		webrtc.WithMediaEngine(engine),
		webrtc.WithInterceptorRegistry(interceptors),
		webrtc.WithSettingEngine(settings),
	)
	p.pc, err = api.NewPeerConnection(configuration(ctx, cfg, client))
	if err != nil {
		return nil, fmt.Errorf("make peer connection: %w", err)
	}
	if err := p.openData(); err != nil {
		p.pc.Close()
		return nil, err
	}

	p.pc.OnICEConnectionStateChange(p.iceStateChanged)
	return p, nil
}

// openData makes the session's data channel, which both ends agree on beforehand.
func (p *peer) openData() (err error) {
	negotiated, ordered, id := true, true, uint16(0)
	p.data, err = p.pc.CreateDataChannel("peephole", &webrtc.DataChannelInit{
		Negotiated: &negotiated,
		Ordered:    &ordered,
		ID:         &id,
	})
	if err != nil {
		return fmt.Errorf("make data channel: %w", err)
	}
	p.out = p.data
	return nil
}

// iceStateChanged notes the state of ICE.
func (p *peer) iceStateChanged(s webrtc.ICEConnectionState) {
	p.failover.setState(s)
	p.triggered.SetState(s)
}

// newTURNClient returns the client with whose sockets this end reaches the relay and the world, and those sockets if
// ports can be guessed.
func newTURNClient(ctx context.Context, cfg peerConfig) (c *turnclient.Client, s *punch.Sockets, err error) {
	client := turnclient.Config{Network: cfg.network, Trust: cfg.trust}
	if cfg.turn != nil {
		client.URLs = cfg.turn.URLs
		client.Username, client.Credential = cfg.turn.Username, cfg.turn.Credential
		if cfg.network == nil && !cfg.relayOnly && !cfg.loopback {
			s = punch.NewSockets()
			client.Sockets, client.FindNAT64 = s, true
		}
	}

	c, err = turnclient.New(ctx, client)
	return c, s, err
}

// newMediaEngine returns an engine that negotiates the carriers.
func newMediaEngine(carriers []media.Carrier) (*webrtc.MediaEngine, error) {
	engine := &webrtc.MediaEngine{}
	for _, c := range carriers {
		for _, parameters := range stream.Codecs(c) {
			if err := engine.RegisterCodec(parameters, webrtc.RTPCodecTypeVideo); err != nil {
				return nil, fmt.Errorf("register codec: %w", err)
			}
		}
	}

	return engine, nil
}

// newInterceptors returns the interceptors that make reports. With pion's default logger, they would write to standard
// output.
func newInterceptors(engine *webrtc.MediaEngine, logger logging.LoggerFactory) (*interceptor.Registry, error) {
	interceptors := &interceptor.Registry{}
	// The viewer's end reports; the camera's end numbers its packets itself (stream.Track).
	err := webrtc.ConfigureTWCCSenderWithOptions(engine, interceptors, twcc.SendInterval(reportEvery),
		twcc.WithLoggerFactory(logger))
	if err != nil {
		return nil, fmt.Errorf("configure transport-wide feedback: %w", err)
	}

	receiver := []report.ReceiverOption{report.WithReceiverLoggerFactory(logger)}
	if err := webrtc.ConfigureRTCPReportsWithOptions(interceptors, receiver,
		report.WithSenderLoggerFactory(logger)); err != nil {
		return nil, fmt.Errorf("configure rtcp reports: %w", err)
	}
	return interceptors, nil
}

// settings returns pion's settings for this end.
func (p *peer) settings(cfg peerConfig, client *turnclient.Client) (webrtc.SettingEngine, error) {
	s := webrtc.SettingEngine{LoggerFactory: loggers{cfg.log, &p.packets}}
	if err := setDTLS(&s); err != nil {
		return s, err
	}
	if err := p.setICE(&s); err != nil {
		return s, err
	}

	s.SetIncludeLoopbackCandidate(cfg.loopback)
	if cfg.relayOnly { // with it, pion would ask the household's network for names that the other end chose
		s.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	}
	s.SetNet(client.Net())
	if cfg.turn != nil {
		s.SetICEProxyDialer(client.Dialer())
	}

	if cfg.feedback != nil {
		s.BufferFactory = stream.FeedbackBuffers(cfg.feedback)
	}
	return s, nil
}

// setDTLS chooses how both ends agree on the keys of SRTP.
func setDTLS(s *webrtc.SettingEngine) error {
	// AES-GCM costs a seventh of AES-CM with HMAC-SHA1 here, and is in every browser.
	s.SetSRTPProtectionProfiles(
		dtls.SRTP_AEAD_AES_256_GCM,
		dtls.SRTP_AEAD_AES_128_GCM,
		dtls.SRTP_AES128_CM_HMAC_SHA1_80,
	)

	// HelloVerify keeps a DTLS server on the open internet from amplifying for a spoofed address. Here DTLS runs only
	// on a candidate pair on which both ends have answered ICE checks under sealed credentials, so HelloVerify would
	// cost a round trip for nothing.
	s.SetDTLSInsecureSkipHelloVerify(true)

	// The viewer begins the handshake. It nominates, so it is the first to know the pair; a browser knows it as soon as
	// a check has been answered.
	if err := s.SetAnsweringDTLSRole(webrtc.DTLSRoleServer); err != nil {
		return fmt.Errorf("choose DTLS role: %w", err)
	}

	// When the other end says goodbye, the session closes the connection, as in every other case. pion must not close
	// it as well.
	s.DisableCloseByDTLS(true)

	// A lost packet of the handshake is no reason to show nothing for a second.
	s.SetDTLSRetransmissionInterval(200 * time.Millisecond)
	return nil
}

// setICE chooses how a path is found and kept.
func (p *peer) setICE(s *webrtc.SettingEngine) error {
	// By default pion waits 2 s before it accepts a relayed pair. Accept it at once, and move to a better pair when
	// that one's checks succeed.
	s.SetRelayAcceptanceMinWait(0)
	s.SetSrflxAcceptanceMinWait(0)
	s.SetPrflxAcceptanceMinWait(0)
	if err := s.SetICERenomination(webrtc.WithRenominationInterval(time.Second)); err != nil {
		return fmt.Errorf("configure renomination: %w", err)
	}

	// stallAfter without a packet is a stall; the viewer then begins another session beside this one. Five checks are
	// sent in that time, so that it takes more than a bad line to lose them all.
	s.SetICETimeouts(stallAfter, 10*time.Second, stallAfter/5)

	onCheck(s.SetICEBindingRequestHandler, func(answers uint64) bool {
		p.triggered.CheckCame()
		return p.failover.shouldSelect(answers)
	})
	s.SetICEMaxBindingRequests(path.MaxBindingRequests)
	return nil
}

// configuration returns the servers that an end uses.
func configuration(ctx context.Context, cfg peerConfig, client *turnclient.Client) webrtc.Configuration {
	var c webrtc.Configuration
	if cfg.relayOnly {
		c.ICETransportPolicy = webrtc.ICETransportPolicyRelay
	}
	if cfg.turn == nil {
		return c
	}

	if urls := client.TURNURLs(); len(urls) > 0 {
		c.ICEServers = append(c.ICEServers, webrtc.ICEServer{
			URLs:       urls,
			Username:   cfg.turn.Username,
			Credential: cfg.turn.Credential,
		})
	}

	if cfg.relayOnly {
		return c
	}
	if urls := client.STUNURLs(ctx); len(urls) > 0 {
		c.ICEServers = append(c.ICEServers, webrtc.ICEServer{URLs: urls})
	}

	return c
}

// regionAsSeen returns the choice of the ICE servers' region from one end's point of view, or nil if there was no
// choice.
func regionAsSeen(turn *handshake.TURN, role string) *path.Region {
	if turn == nil || turn.Region == nil {
		return nil
	}
	way := turn.Region
	if role == "camera" {
		return &path.Region{Name: way.Name, Own: way.Camera, Other: way.Viewer, Regions: way.Regions}
	}
	return &path.Region{Name: way.Name, Own: way.Viewer, Other: way.Camera, Regions: way.Regions}
}
