package session

import (
	"context"
	"log/slog"

	"github.com/pion/webrtc/v4"
)

// send says something on the data channel; nothing while there is no secret or no channel.
func (p *peer) send(keys *recordKeys, m message) error {
	if keys == nil || p.data.ReadyState() != webrtc.DataChannelStateOpen {
		return nil
	}
	wire, err := keys.data.out.seal(m)
	if err != nil {
		return err
	}
	return p.data.Send(wire)
}

// end closes the connection and the outbox. An end that leaves, and is not left, says bye before.
func (p *peer) end(leaves bool, keys *recordKeys, out *outbox, cancel context.CancelFunc, log *slog.Logger) {
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

// bye tells the other end that the session is over, and returns the record that says so through signaling too: a data channel may not be there yet, or lead
// nowhere, or end with the word still under way, and the other end would go on until ICE has given up. A camera serves few sessions of a viewer at a
// time. keys are nil while there is no secret; then nothing can be said.
func (p *peer) bye(keys *recordKeys) (last []byte, err error) {
	if keys == nil {
		return nil, nil
	}
	m := message{Type: "bye", Reason: "closed"}
	if last, err = keys.signaling.out.seal(m); err != nil {
		return nil, err
	}
	return last, p.send(keys, m)
}
