package viewer

import (
	"context"
	"net"

	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/crypto/pairing"
	"github.com/peephole-cam/peephole/p2p"
	"github.com/peephole-cam/peephole/signaling"
)

// proof proves to a camera's own server that this is one of the camera's viewers: it keeps the camera's inbox of the
// day open, which takes the inbox's write key.
type proof struct {
	client *signaling.Client
	inbox  func() signaling.Mailbox // of today

	kept signaling.Name // owned by the client's goroutine
	stop func()         // owned by the client's goroutine; nil at first
}

// renew keeps the inbox of today instead of that of an earlier day. The camera closes that one after two days, and then
// it proves nothing.
func (p *proof) renew() {
	inbox := p.inbox()
	name := inbox.Name()
	if p.stop != nil && name == p.kept {
		return
	}

	before := p.stop
	p.kept, p.stop = name, p.client.Keep(inbox)
	if before != nil {
		before()
	}
}

// newClientOf returns a client of a camera's own server. find searches for the camera until its context ends.
func (v *Viewer) newClientOf(record pairing.Record, server string, find func(context.Context) (*p2p.Conn, error)) (
	*signaling.Client, error,
) {
	p := &proof{inbox: func() signaling.Mailbox {
		box := record.Pair.Mailbox(envelope.ToCamera, record.Pair.Day(v.clock.Now()))
		return signaling.Mailbox{Read: box.Read, Write: box.Write}
	}}

	var err error
	p.client, err = signaling.NewClient(signaling.ClientConfig{
		URL:    server,
		Logger: v.cfg.Logger,
		Dial: func(ctx context.Context) (net.Conn, string, error) {
			conn, err := find(ctx)
			if err != nil {
				return nil, "", err
			}
			p.renew()
			return conn, conn.Origin(), nil
		},
	})
	if err != nil {
		return nil, err
	}

	p.renew() // nothing else may be opened first
	return p.client, nil
}
