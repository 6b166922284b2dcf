package session

import (
	"context"
	"errors"
	"log/slog"

	"github.com/pion/webrtc/v4"

	"github.com/peephole-cam/peephole/session/handshake"
)

// errLeft ends a camera's Run, or either end of a bulk session, when the other end has left.
var errLeft = errors.New("the other end left")

// send sends a record on the data channel. It sends nothing while there is no secret or no open channel. The other end
// ignores what comes before hello, so that goes first, even if pion's goroutines bring the other end's first record
// before they tell that the channel is open.
func (p *peer) send(keys *handshake.RecordKeys, m handshake.Message) error {
	if err := p.greet(keys); err != nil || !p.said {
		return err
	}
	return p.write(keys, m)
}

// greet sends hello on the data channel, once there is a secret and the channel is open.
func (p *peer) greet(keys *handshake.RecordKeys) error {
	if p.said || keys == nil || p.out.ReadyState() != webrtc.DataChannelStateOpen {
		return nil
	}
	p.said = true
	return p.write(keys, p.hello)
}

func (p *peer) write(keys *handshake.RecordKeys, m handshake.Message) error {
	if p.out.ReadyState() != webrtc.DataChannelStateOpen {
		return nil
	}
	wire, err := keys.Data.Seal(m)
	if err != nil {
		return err
	}
	return p.out.Send(wire)
}

// end closes the connection and the outbox. If this end leaves, it says bye first.
func (p *peer) end(leaves bool, keys *handshake.RecordKeys, out *outbox, cancel context.CancelFunc, log *slog.Logger) {
	var last []byte
	if leaves {
		var err error
		if last, err = p.bye(keys); err != nil {
			log.Debug("say bye", "err", err)
		}
	}

	cancel()
	if err := p.pc.GracefulClose(); err != nil {
		log.Debug("close peer connection", "err", err)
	}
	out.close(last)
}

// bye tells the other end over the data channel that the session is over, and returns a record that says so through
// signaling too: the data channel may not be open yet, or lead nowhere, or close before the record arrives. Then the
// other end would go on until ICE gives up, and a camera serves only a few sessions of a viewer at a time. keys is nil
// while there is no secret; then nothing can be said.
func (p *peer) bye(keys *handshake.RecordKeys) (last []byte, err error) {
	if keys == nil {
		return nil, nil
	}
	m := handshake.Message{Type: "bye", Reason: "closed"}
	if last, err = keys.Signaling.Seal(m); err != nil {
		return nil, err
	}
	return last, p.send(keys, m)
}
