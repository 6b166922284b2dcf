//go:build unsealed

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/crypto/identity"
	"github.com/peephole-cam/peephole/crypto/pairing"
	"github.com/peephole-cam/peephole/signaling"
)

// sealing reports whether the devices seal what they send.
const sealing = false

// app is the control: an app of the kind that the incident happened to. It uses the same mailboxes on the same relay,
// and every connection could be under TLS; but the camera sends its pictures as they are, and the viewer shows what the
// cloud says is its camera's. No command of Peephole contains it: it exists only under this build tag and in this
// program.
type app struct{ toCamera, toViewer signaling.Mailbox }

func newApp(h *household) (app, error) {
	self, err := identity.Load(h.cameraState())
	if err != nil {
		return app{}, err
	}
	records, err := pairing.NewStore(h.cameraState(), self, identity.Camera).Load()
	if err != nil || len(records) != 1 {
		return app{}, fmt.Errorf("load pair of %s: %d pairs, %w", h.name(), len(records), err)
	}

	pair := records[0].Pair
	mailbox := func(d envelope.Direction) signaling.Mailbox {
		m := pair.Mailbox(d, pair.Day(time.Now()))
		return signaling.Mailbox{Read: m.Read, Write: m.Write}
	}
	return app{mailbox(envelope.ToCamera), mailbox(envelope.ToViewer)}, nil
}

const (
	patience   = 10 * time.Second
	keepFor    = 30 * time.Second
	wantsStill = "a picture, please"
)

var errNoPicture = errors.New("no picture came")

// serve runs the camera until ctx ends: anybody who reaches its mailbox gets its picture.
func (a app) serve(ctx context.Context, h *household) error {
	client, err := signaling.NewClient(signaling.ClientConfig{URL: h.relay, OnState: func(err error) {
		h.connected.Store(err == nil)
	}})
	if err != nil {
		return err
	}

	asked := make(chan struct{}, 16)
	defer client.Receive(a.toCamera, func(signaling.Delivery) bool {
		select {
		case asked <- struct{}{}:
		default:
		}
		return true
	})()

	defer client.Keep(a.toViewer)()
	done := make(chan error, 1)
	go func() { done <- client.Run(ctx) }()
	for {
		select {
		case err := <-done:
			return err
		case <-asked:
			sending, cancel := context.WithTimeout(ctx, patience)
			err := client.Send(sending, a.toViewer, h.lens.picture(), keepFor)
			cancel()
			if err != nil && ctx.Err() == nil {
				h.tally.add(func(c *counts) { c.Unanswered++ })
			}
		}
	}
}

// still asks for one picture and shows the first that comes.
func (a app) still(ctx context.Context, h *household) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	client, err := signaling.NewClient(signaling.ClientConfig{URL: h.relay})
	if err != nil {
		return nil, err
	}

	pictures := make(chan []byte, 16)
	defer client.Receive(a.toViewer, func(d signaling.Delivery) bool {
		select {
		case pictures <- d.Body:
		default:
		}
		return true
	})()

	running, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- client.Run(running) }()
	defer func() { stop(); <-done }()
	if err := client.Send(ctx, a.toCamera, []byte(wantsStill), keepFor); err != nil {
		return nil, err
	}

	select {
	case p := <-pictures:
		return p, nil
	case <-ctx.Done():
		return nil, errNoPicture
	}
}

// watch is not part of the control: pictures that travel through signaling are enough to leak.
func (app) watch(context.Context, *household, *sample) {}
