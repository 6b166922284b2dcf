package session

import (
	"testing"

	"github.com/pion/webrtc/v4"

	"github.com/peephole-cam/peephole/session/handshake"
)

// notebook is a data channel that keeps what is sent.
type notebook struct {
	state webrtc.DataChannelState
	sent  [][]byte
}

func (n *notebook) ReadyState() webrtc.DataChannelState { return n.state }
func (n *notebook) Send(record []byte) error            { n.sent = append(n.sent, record); return nil }

// hello goes before everything else, and once, whichever of pion's goroutines is the first: a status that came before
// it would be ignored, and never said again.
func TestHelloIsFirst(t *testing.T) {
	ours, theirs := agreedKeys(t)
	out := &notebook{state: webrtc.DataChannelStateConnecting}
	p := &peer{out: out, hello: handshake.Message{Type: "hello", Name: "front door"}}
	say := func(keys *handshake.RecordKeys, kind string) {
		t.Helper()
		if err := p.send(keys, handshake.Message{Type: kind}); err != nil {
			t.Fatal(err)
		}
	}

	say(ours, "sending") // the channel is not open: nothing is sent
	out.state = webrtc.DataChannelStateOpen
	say(nil, "sending") // there is no secret: nothing is sent
	say(ours, "status")
	if err := p.greet(ours); err != nil {
		t.Fatal(err)
	}
	say(ours, "network")

	var kinds []string
	for _, record := range out.sent {
		m, err := theirs.Data.Open(record)
		if err != nil {
			t.Fatal(err)
		}
		kinds = append(kinds, m.Type+m.Name)
	}
	if len(kinds) != 3 || kinds[0] != "hellofront door" || kinds[1] != "status" || kinds[2] != "network" {
		t.Errorf("sent %q", kinds)
	}
}
