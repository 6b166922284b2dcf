package session

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/interceptor/pkg/twcc"
	"github.com/pion/rtcp"
	"github.com/pion/transport/v5"
	"github.com/pion/webrtc/v4"

	"github.com/peephole-cam/peephole/internal/punch"
	"github.com/peephole-cam/peephole/media"
)

// stallAfter is how long nothing may arrive before the other end counts as out of reach for now.
const stallAfter = 700 * time.Millisecond

// reportEvery is how often a viewer's end says which packets arrived, and when.
const reportEvery = 50 * time.Millisecond

// peerConfig is what both ends need for their end of the connection.
type peerConfig struct {
	carriers  []media.Carrier // what may be negotiated, best first
	turn      *TURN
	trust     *tls.Config // of TURN servers over TLS; nil: the system's roots
	relayOnly bool
	loopback  bool                         // also gather loopback candidates: both ends are on one machine
	feedback  func(*rtcp.TransportLayerCC) // takes what the other end says of this one's packets; nil: this one sends no media
	network   transport.Net                // nil: the machine's
	nat64     nat64                        // newPeer finds it
	log       *slog.Logger
}

// peer is a pion PeerConnection with the data channel that every session has.
type peer struct {
	pc   *webrtc.PeerConnection
	data *webrtc.DataChannel

	sockets    *punch.Sockets // nil: ports are not guessed
	packets    packets
	standby    standby
	haste      *haste
	candidates int // of the other end, taken so far; owned by the session's goroutine
}

// newPeer makes a peer connection; when ctx ends, it connects to no TURN server any more.
func newPeer(ctx context.Context, cfg peerConfig) (*peer, error) {
	engine := &webrtc.MediaEngine{}
	for _, c := range cfg.carriers {
		for _, parameters := range []webrtc.RTPCodecParameters{codec(c), retransmission(codec(c))} {
			if err := engine.RegisterCodec(parameters, webrtc.RTPCodecTypeVideo); err != nil {
				return nil, fmt.Errorf("register codec: %w", err)
			}
		}
	}
	interceptors := &interceptor.Registry{}
	// The viewer's end reports; the camera's numbers its packets itself (track).
	if err := webrtc.ConfigureTWCCSenderWithOptions(engine, interceptors, twcc.SendInterval(reportEvery)); err != nil {
		return nil, fmt.Errorf("configure transport-wide feedback: %w", err)
	}
	if err := webrtc.ConfigureRTCPReports(interceptors); err != nil {
		return nil, fmt.Errorf("configure rtcp reports: %w", err)
	}
	p := &peer{haste: newHaste()}
	if cfg.turn != nil && cfg.network == nil && !cfg.relayOnly && !cfg.loopback {
		cfg.nat64 = findNAT64(ctx)
		p.sockets = punch.NewSockets()
	}
	settings, err := settings(ctx, cfg, p)
	if err != nil {
		return nil, err
	}
	api := webrtc.NewAPI(webrtc.WithMediaEngine(engine), webrtc.WithInterceptorRegistry(interceptors), webrtc.WithSettingEngine(settings))
	pc, err := api.NewPeerConnection(configuration(ctx, cfg))
	if err != nil {
		return nil, fmt.Errorf("make peer connection: %w", err)
	}
	negotiated, ordered, id := true, true, uint16(0)
	data, err := pc.CreateDataChannel("peephole", &webrtc.DataChannelInit{Negotiated: &negotiated, Ordered: &ordered, ID: &id})
	if err != nil {
		pc.Close()
		return nil, fmt.Errorf("make data channel: %w", err)
	}
	pc.OnICEConnectionStateChange(p.checking)
	p.pc, p.data = pc, data
	return p, nil
}

// checking is told how ICE is doing.
func (p *peer) checking(s webrtc.ICEConnectionState) {
	p.standby.state(s)
	p.haste.state(s)
}

func settings(ctx context.Context, cfg peerConfig, p *peer) (webrtc.SettingEngine, error) {
	var s webrtc.SettingEngine
	// AES-GCM costs a seventh of AES-CM with HMAC-SHA1 here, and is in every browser.
	s.SetSRTPProtectionProfiles(dtls.SRTP_AEAD_AES_256_GCM, dtls.SRTP_AEAD_AES_128_GCM, dtls.SRTP_AES128_CM_HMAC_SHA1_80)
	// HelloVerify keeps a DTLS server on the open internet from amplifying for a spoofed address. Here DTLS only runs on a
	// candidate pair whose both ends answered ICE checks under sealed credentials, so it would cost a round trip for nothing.
	s.SetDTLSInsecureSkipHelloVerify(true)
	// The viewer begins the handshake: it nominates, so it knows the pair first, a browser as soon as a check has been answered.
	if err := s.SetAnsweringDTLSRole(webrtc.DTLSRoleServer); err != nil {
		return s, fmt.Errorf("choose DTLS role: %w", err)
	}
	// When the other end says goodbye, the session closes the connection, as it does in every other case, and not pion beside it.
	s.DisableCloseByDTLS(true)
	// A lost packet of the handshake is no reason to show nothing for a second.
	s.SetDTLSRetransmissionInterval(200 * time.Millisecond)
	// pion waits 2 s before it accepts a relayed pair. Take it at once, and move to a better one when its checks pass.
	s.SetRelayAcceptanceMinWait(0)
	s.SetSrflxAcceptanceMinWait(0)
	s.SetPrflxAcceptanceMinWait(0)
	if err := s.SetICERenomination(webrtc.WithRenominationInterval(time.Second)); err != nil {
		return s, fmt.Errorf("configure renomination: %w", err)
	}
	// So long without a packet is a stall: the viewer then begins another session beside this one. Five checks are sent in that time, so that
	// it takes more than a bad line to lose them all.
	s.SetICETimeouts(stallAfter, 10*time.Second, stallAfter/5)
	onCheck(s.SetICEBindingRequestHandler, func(answers uint64) bool {
		p.haste.check()
		return p.standby.take(answers)
	})
	if cfg.feedback == nil { // the viewer's agent is hurried
		s.SetICEMaxBindingRequests(checksMost)
	}
	s.SetIncludeLoopbackCandidate(cfg.loopback)
	if cfg.relayOnly { // else pion asks the household's network for names that the other end chose
		s.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	}
	var udp *headStart
	if cfg.turn != nil && cfg.network == nil {
		udp = newHeadStart(cfg.turn.URLs)
	}
	if cfg.network == nil {
		network, err := newTurnNet(cfg.turn, udp, p.sockets, cfg.nat64)
		if err != nil {
			return s, err
		}
		cfg.network = network
	}
	s.SetNet(cfg.network)
	if cfg.turn != nil {
		s.SetICEProxyDialer(newTURNDialer(ctx, cfg.turn.URLs, cfg.trust, udp))
	}
	if cfg.feedback != nil {
		s.BufferFactory = buffers(cfg.feedback)
	}
	s.LoggerFactory = loggers{cfg.log, &p.packets}
	return s, nil
}

func configuration(ctx context.Context, cfg peerConfig) webrtc.Configuration {
	var c webrtc.Configuration
	if cfg.relayOnly {
		c.ICETransportPolicy = webrtc.ICETransportPolicyRelay
	}
	if cfg.turn == nil {
		return c
	}
	servers := usableServers(cfg.turn.URLs)
	relays := slices.DeleteFunc(slices.Clone(servers), func(u string) bool { return strings.HasPrefix(u, "stun:") }) // that tells of the NAT
	if len(relays) > 0 {
		c.ICEServers = []webrtc.ICEServer{{URLs: relays, Username: cfg.turn.Username, Credential: cfg.turn.Credential}}
	}
	if stun := stunURLs(servers); len(stun) > 0 && !cfg.relayOnly {
		c.ICEServers = append(c.ICEServers, webrtc.ICEServer{URLs: append(stun, cfg.nat64.stun(ctx, stun)...)})
	}
	return c
}

// stunURLs names the UDP TURN servers as STUN servers too: pion learns server reflexive candidates only from those.
func stunURLs(turn []string) (stun []string) {
	for _, u := range turn {
		host, query, _ := strings.Cut(u, "?")
		if rest, ok := strings.CutPrefix(host, "turn:"); ok && query != "transport=tcp" {
			stun = append(stun, "stun:"+rest)
		}
	}
	return stun
}

func codec(c media.Carrier) webrtc.RTPCodecParameters {
	feedback := []webrtc.RTCPFeedback{{Type: "nack"}, {Type: "nack", Parameter: "pli"}, {Type: webrtc.TypeRTCPFBTransportCC}}
	if c == media.VP8Carrier {
		return webrtc.RTPCodecParameters{PayloadType: 96, RTPCodecCapability: webrtc.RTPCodecCapability{
			MimeType: webrtc.MimeTypeVP8, ClockRate: clockRate, RTCPFeedback: feedback}}
	}
	return webrtc.RTPCodecParameters{PayloadType: 102, RTPCodecCapability: webrtc.RTPCodecCapability{
		MimeType: webrtc.MimeTypeH264, ClockRate: clockRate, RTCPFeedback: feedback,
		SDPFmtpLine: "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f"}}
}

// retransmission is the stream beside a codec's in which its packets are sent again (RFC 4588).
func retransmission(of webrtc.RTPCodecParameters) webrtc.RTPCodecParameters {
	return webrtc.RTPCodecParameters{PayloadType: of.PayloadType + 1, RTPCodecCapability: webrtc.RTPCodecCapability{
		MimeType: webrtc.MimeTypeRTX, ClockRate: clockRate, SDPFmtpLine: fmt.Sprintf("apt=%d", of.PayloadType)}}
}
