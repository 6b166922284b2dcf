package session

import (
	"fmt"

	"github.com/pion/webrtc/v4"
)

// bye tells the other end that the session is over, and returns the record that says so through signaling too: a data channel may not be there yet, or lead
// nowhere, or end with the word still under way, and the other end would go on until ICE has given up. A camera serves few sessions of a viewer at a
// time. keys are nil while there is no secret; then nothing can be said.
func (p *peer) bye(keys *recordKeys) (last []byte, err error) {
	if keys == nil {
		return nil, nil
	}
	m := message{Type: "bye", Reason: "closed"}
	last, err = keys.signaling.out.seal(m)
	if err != nil || p.data.ReadyState() != webrtc.DataChannelStateOpen {
		return last, err
	}
	wire, err := keys.data.out.seal(m)
	if err == nil {
		err = p.data.Send(wire)
	}
	if err != nil {
		err = fmt.Errorf("say bye: %w", err)
	}
	return last, err
}
