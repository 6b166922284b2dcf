package main

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/peephole-cam/peephole/bulk"
	"github.com/peephole-cam/peephole/session/icepath"
)

// quicDescription is what an end of package bulk tells the other.
type quicDescription struct {
	Candidates  []string
	Certificate bulk.Hash
}

// runQUIC carries the object over QUIC.
func runQUIC(ctx context.Context, c config) error {
	var object bulk.Object
	if c.camera {
		object = bulk.NewBytes("object", c.object())
	}
	own, err := bulk.NewCertificate()
	if err != nil {
		return err
	}
	path, candidates, err := gather(ctx, c)
	if err != nil {
		return err
	}
	defer path.Close()

	if err := tell(quicDescription{candidates, own.Hash()}); err != nil {
		return err
	}
	var other quicDescription
	if err := hear(ctx, &other); err != nil {
		return err
	}
	for _, text := range other.Candidates {
		if err := path.AddCandidate(text); err != nil {
			return err
		}
	}
	packets, err := path.Connect(ctx)
	if err != nil {
		return err
	}

	if c.camera {
		return c.serveQUIC(ctx, packets, own, other.Certificate, object)
	}
	return fetchQUIC(ctx, c, path, packets, own, other.Certificate)
}

// gather makes an end's path, and waits for all of its candidates.
func gather(ctx context.Context, c config) (path *icepath.Path, candidates []string, err error) {
	client, err := c.client(ctx)
	if err != nil {
		return nil, nil, err
	}
	camera := icepath.Credentials{UsernameFragment: "camera", Password: c.password}
	viewer := icepath.Credentials{UsernameFragment: "viewer", Password: c.password}
	cfg := icepath.Config{
		Controlling: !c.camera,
		Own:         viewer,
		Other:       camera,
		Client:      client,
		Username:    c.username,
		Credential:  c.credential,
		RelayOnly:   c.relayOnly,
		Logger:      loggers(),
	}
	if c.camera {
		cfg.Own, cfg.Other = camera, viewer
	}

	all := make(chan struct{})
	cfg.OnCandidate = func(found *webrtc.ICECandidate) {
		if found == nil {
			close(all)
			return
		}
		candidates = append(candidates, found.ToJSON().Candidate)
	}
	if path, err = icepath.New(ctx, cfg); err != nil {
		return nil, nil, err
	}
	if err := path.Gather(); err != nil {
		return nil, nil, err
	}

	select {
	case <-all:
		return path, candidates, nil
	case <-ctx.Done():
		return nil, nil, context.Cause(ctx)
	}
}

func (c config) serveQUIC(
	ctx context.Context, path net.PacketConn, own bulk.Certificate, other bulk.Hash, o bulk.Object,
) error {
	conn, err := bulk.Accept(ctx, path, own, other)
	if err != nil {
		return err
	}
	defer conn.Close()
	return conn.Serve(ctx, source{o}, func() bool { return c.watched })
}

// fetchQUIC gets the object, and stays until it is stopped.
func fetchQUIC(
	ctx context.Context, c config, path *icepath.Path, packets net.PacketConn, own bulk.Certificate, other bulk.Hash,
) error {
	conn, err := bulk.Dial(ctx, packets, own, other)
	if err != nil {
		return err
	}
	defer conn.Close()
	file, err := bulk.OpenFile(c.file())
	if err != nil {
		return err
	}
	defer file.Close()

	var took time.Duration
	began := time.Now()
	_, err = conn.Fetch(ctx, "object", file, func(done, size int64) {
		if done == size { // what follows, until the file is on the disk for good, is no part of the way
			took = time.Since(began)
		}
	})
	if err != nil {
		return err
	}
	c.done(took, path.Relayed())
	<-ctx.Done()
	return nil
}

// source has one object, of whatever ID.
type source struct{ bulk.Object }

func (s source) List(context.Context) ([]bulk.Info, error) { return nil, nil }

func (s source) Open(_ context.Context, id string, root bulk.Hash) (bulk.Object, error) {
	if !root.IsZero() && root != s.Tree().Root() {
		return nil, fmt.Errorf("open %q: %w", id, bulk.ErrChanged)
	}
	return s.Object, nil
}
