package session

import (
	"context"
	"errors"
	"fmt"

	"github.com/peephole-cam/peephole/clock"
	"github.com/peephole-cam/peephole/crypto/identity"
	"github.com/peephole-cam/peephole/session/handshake"
	"github.com/peephole-cam/peephole/signaling"
)

// bulkViewer is the viewer's end of one bulk session. The goroutine that called Bulk owns it.
type bulkViewer struct {
	cfg     ViewerConfig
	offerer *handshake.Offerer
	inbox   *handshake.Inbox
	outbox  *outbox
	arrived chan signaling.Delivery
}

// Bulk offers a bulk session, and calls use once both ends are connected. It returns use's error once use returns, or
// ErrEnded if the camera leaves first. It ignores cfg's Carriers and the functions that concern pictures. Errors:
// ErrNoAnswer, ErrSilent, ErrLost, ErrEnded, *Refusal, use's own, ctx's own.
func Bulk(ctx context.Context, cfg ViewerConfig, use func(context.Context, BulkConn) error) error {
	h, err := handshake.NewOfferer(cfg.Pair, cfg.Now)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	v := &bulkViewer{
		cfg:     cfg,
		offerer: h,
		inbox:   handshake.NewBulkInbox(cfg.OnReply),
		outbox:  newOutbox(cfg.Signal, mailbox(h.OutMailbox()), cfg.Logger),
		arrived: make(chan signaling.Delivery, maxBulkWaiting),
	}
	defer receiveInto(ctx, cfg.Signal, mailbox(h.InMailbox()), v.arrived)()

	answer, secret, err := v.agree(ctx)
	if err != nil {
		return err
	}
	v.outbox.open(ctx)
	end, err := newBulkEnd(ctx, v.bulkConfig(answer, secret, use))
	if err != nil {
		v.outbox.close(nil)
		return err
	}

	err = end.run(ctx, cancel, v.inbox.Release())
	v.outbox.close(end.byeRecord(err, cfg.Logger))
	if errors.Is(err, errLeft) {
		return ErrEnded
	}
	return err
}

// agree posts the offer and waits for the camera's answer.
func (v *bulkViewer) agree(ctx context.Context) (*handshake.Answer, *handshake.Secret, error) {
	challenge := handshake.NewFreshness(v.cfg.Clock).Issue() // every offer has one
	wire, err := v.offerer.SealOffer(v.cfg.Box, handshake.Offer{
		Bulk:      true,
		Challenge: challenge[:],
		TURN:      v.cfg.CameraTURN,
		RelayOnly: v.cfg.RelayOnly,
		Nonce:     v.cfg.Nonce,
		LAN:       v.cfg.HostVersion,
		Relays:    v.cfg.RelayVersion,
		Agent:     v.cfg.Agent,
	})
	if err != nil {
		return nil, nil, err
	}

	posting, stop := clock.WithTimeout(ctx, answerWait)
	defer func() { stop() }()
	posted := make(chan error, 1)
	go func() { posted <- v.cfg.Signal.Send(posting, v.cfg.Inbox, wire, handshake.OfferLife) }()
	waiting, accepted := posting, false
	for {
		select {
		case err := <-posted:
			if err != nil {
				return nil, nil, v.silence(ctx, waiting, ErrSilent, fmt.Errorf("send offer: %w", err))
			}
			stop()
			waiting, stop = clock.WithTimeout(ctx, answerWait) // for the camera
			accepted = true
		case <-waiting.Done():
			if !accepted {
				return nil, nil, v.silence(ctx, waiting, ErrSilent, waiting.Err())
			}
			return nil, nil, v.silence(ctx, waiting, ErrNoAnswer, waiting.Err())
		case d := <-v.arrived:
			if a, secret, err := v.openAnswer(d); a != nil || err != nil {
				return a, secret, err
			}
		}
	}
}

// silence returns the error to report for err: sentinel if the time is up, or ctx's own.
func (v *bulkViewer) silence(ctx, waiting context.Context, sentinel, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if errors.Is(context.Cause(waiting), context.DeadlineExceeded) {
		return sentinel
	}
	return err
}

// openAnswer opens one message as the camera's answer. All results are nil if it is none.
func (v *bulkViewer) openAnswer(d signaling.Delivery) (*handshake.Answer, *handshake.Secret, error) {
	if v.inbox.OpenedBefore(d) {
		return nil, nil, nil
	}
	a, secret, err := v.inbox.OpenReply(v.offerer, d)
	if errors.As(err, new(handshake.NotReplyError)) {
		rejectDelivery(d, "envelope", err, v.cfg.OnReject)
		return nil, nil, nil
	}
	if a == nil || err != nil {
		return nil, nil, err
	}

	introduce(a, v.cfg.OnName, v.cfg.OnHostList, v.cfg.OnRelayList)
	return a, secret, nil
}

// bulkConfig returns what this end needs. A camera that hides its address learns none of ours.
func (v *bulkViewer) bulkConfig(a *handshake.Answer, secret *handshake.Secret,
	use func(context.Context, BulkConn) error) bulkConfig {
	return bulkConfig{
		role:   identity.Viewer,
		secret: secret,
		peer: peerConfig{
			turn:      v.cfg.TURN,
			trust:     v.cfg.TLS,
			relayOnly: v.cfg.RelayOnly || a.RelayOnly,
			loopback:  v.cfg.Loopback,
			network:   v.cfg.network,
			log:       v.cfg.Logger,
		},
		ports:   portMapper(v.cfg.PortMapper, v.cfg.SeenAs, v.cfg.TURN),
		outbox:  v.outbox,
		arrived: v.arrived,
		foreign: func(d signaling.Delivery, err error) {
			if !v.inbox.OpenedBefore(d) && !v.inbox.IsReply(v.offerer, d) {
				rejectDelivery(d, "record", err, v.cfg.OnReject)
			}
		},
		use: use,
	}
}
