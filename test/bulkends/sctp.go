package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/webrtc/v4"
)

// What makes pion's data channel as fast as it can be. The sender's buffer counts what is not acknowledged, so it must
// hold what is on the way at 100 Mbit/s, with a queue of 200 ms behind a round trip of 150 ms.
const (
	messageSize   = 64 << 10
	receiveBuffer = 8 << 20
	highWater     = 8 << 20
	lowWater      = 6 << 20
)

var errLost = errors.New("the data channel was lost")

// runSCTP carries the object over a data channel. The viewer offers, and begins ICE and the check of the path.
func runSCTP(ctx context.Context, c config) error {
	ctx, lost := context.WithCancelCause(ctx)
	defer lost(nil)
	var object []byte
	if c.camera {
		object = c.object()
	}
	hash := sha256.Sum256(object)
	pc, channel, err := newPeer(ctx, c)
	if err != nil {
		return err
	}
	defer pc.GracefulClose()
	pc.OnConnectionStateChange(func(s webrtc.PeerConnectionState) {
		if s == webrtc.PeerConnectionStateFailed || s == webrtc.PeerConnectionStateClosed {
			lost(errLost)
		}
	})

	asked, opened := make(chan struct{}, 1), make(chan struct{})
	if c.camera {
		channel.OnMessage(func(webrtc.DataChannelMessage) { asked <- struct{}{} })
	} else {
		channel.OnOpen(func() { close(opened) })
	}
	if err := describe(ctx, c, pc); err != nil {
		return err
	}

	select {
	case <-asked:
		err = send(ctx, channel, hash, object)
	case <-opened:
		err = receive(ctx, c, pc, channel)
	case <-ctx.Done():
	}
	if err != nil {
		return err
	}
	<-ctx.Done()
	return context.Cause(ctx)
}

// newPeer makes an end with the data channel, which both ends agree on beforehand.
func newPeer(ctx context.Context, c config) (*webrtc.PeerConnection, *webrtc.DataChannel, error) {
	client, err := c.client(ctx)
	if err != nil {
		return nil, nil, err
	}
	s := webrtc.SettingEngine{LoggerFactory: loggers()}
	s.SetNet(client.Net())
	s.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	s.SetRelayAcceptanceMinWait(0)
	s.SetSCTPMaxReceiveBufferSize(receiveBuffer)
	s.EnableSCTPZeroChecksum(true) // RFC 9653: DTLS protects each packet
	if !c.camera {
		s.DetachDataChannels() // so that it need not allocate each message
	}

	var cfg webrtc.Configuration
	if c.turn != "" {
		cfg.ICEServers = []webrtc.ICEServer{{URLs: client.TURNURLs(), Username: c.username, Credential: c.credential}}
		s.SetICEProxyDialer(client.Dialer())
	}
	if c.relayOnly {
		cfg.ICETransportPolicy = webrtc.ICETransportPolicyRelay
	}
	pc, err := webrtc.NewAPI(webrtc.WithSettingEngine(s)).NewPeerConnection(cfg)
	if err != nil {
		return nil, nil, err
	}

	ordered, negotiated, id := true, true, uint16(0)
	channel, err := pc.CreateDataChannel("bulk", &webrtc.DataChannelInit{
		Ordered:    &ordered,
		Negotiated: &negotiated,
		ID:         &id,
	})
	if err != nil {
		return nil, nil, errors.Join(err, pc.GracefulClose())
	}
	return pc, channel, nil
}

// describe exchanges descriptions with all candidates in them.
func describe(ctx context.Context, c config, pc *webrtc.PeerConnection) error {
	var other webrtc.SessionDescription
	create := func() (webrtc.SessionDescription, error) { return pc.CreateOffer(nil) }
	if c.camera {
		create = func() (webrtc.SessionDescription, error) { return pc.CreateAnswer(nil) }
		if err := hear(ctx, &other); err != nil {
			return err
		}
		if err := pc.SetRemoteDescription(other); err != nil {
			return err
		}
	}

	own, err := create()
	if err != nil {
		return err
	}
	all := webrtc.GatheringCompletePromise(pc)
	if err := pc.SetLocalDescription(own); err != nil {
		return err
	}
	select {
	case <-all:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if err := tell(pc.LocalDescription()); err != nil || c.camera {
		return err
	}

	if err := hear(ctx, &other); err != nil {
		return err
	}
	return pc.SetRemoteDescription(other)
}

// send sends the object's hash and then the object, and keeps the channel's buffer filled meanwhile.
func send(ctx context.Context, channel *webrtc.DataChannel, hash [sha256.Size]byte, object []byte) error {
	low := make(chan struct{}, 1)
	channel.SetBufferedAmountLowThreshold(lowWater)
	channel.OnBufferedAmountLow(func() {
		select {
		case low <- struct{}{}:
		default:
		}
	})

	if err := channel.Send(hash[:]); err != nil {
		return err
	}
	for message := range slices.Chunk(object, messageSize) {
		for channel.BufferedAmount() > highWater {
			select {
			case <-low:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		if err := channel.Send(message); err != nil {
			return err
		}
	}
	return nil
}

// receive gets the object, writes it to a file, and verifies it.
func receive(ctx context.Context, c config, pc *webrtc.PeerConnection, channel *webrtc.DataChannel) error {
	detached, err := channel.Detach()
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = detached.Close() })()
	file, err := os.Create(c.file())
	if err != nil {
		return err
	}
	defer file.Close()

	began := time.Now()
	if _, err := detached.Write([]byte("get")); err != nil {
		return err
	}
	message := make([]byte, messageSize)
	n, err := detached.Read(message)
	if err != nil {
		return err
	}

	want, hash := bytes.Clone(message[:n]), sha256.New()
	for left := c.size; left > 0; left -= n {
		if n, err = detached.Read(message); err != nil {
			return err
		}
		hash.Write(message[:n])
		if _, err := file.Write(message[:n]); err != nil {
			return err
		}
	}
	if got := hash.Sum(nil); !bytes.Equal(got, want) {
		return fmt.Errorf("the object's hash is %x, want %x", got, want)
	}
	took := time.Since(began)

	relayed, err := isRelayed(pc)
	if err != nil {
		return err
	}
	c.done(took, relayed)
	return nil
}

// isRelayed reports whether the selected pair leads through a TURN server.
func isRelayed(pc *webrtc.PeerConnection) (bool, error) {
	pair, err := pc.SCTP().Transport().ICETransport().GetSelectedCandidatePair()
	if err != nil {
		return false, err
	}
	if pair == nil {
		return false, errLost
	}
	relay := webrtc.ICECandidateTypeRelay
	return pair.Local.Typ == relay || pair.Remote.Typ == relay, nil
}
