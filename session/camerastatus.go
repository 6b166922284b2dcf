package session

import (
	"github.com/peephole-cam/peephole/printable"
	"github.com/peephole-cam/peephole/session/handshake"
)

// sendingEvery is how often the camera tells the viewer how it sends, in seconds.
const sendingEvery = 2

// tellPackets reports media that reached this end but does not come from the viewer.
func (c *Camera) tellPackets() {
	if err := c.peer.packets.sinceLast(); err != nil && c.cfg.OnReject != nil {
		c.cfg.OnReject(Rejection{"packet", err})
	}
}

// tellTrouble tells the viewer what is wrong with the picture, once for each change.
func (c *Camera) tellTrouble() error {
	trouble := c.sender.Trouble()
	switch state := c.cfg.Stream.State(); {
	case !state.Live:
		trouble = printable.Text(state.String())
	case !c.sender.Shows() && state.Joining != "":
		trouble = state.Joining
	case trouble == "":
		trouble = state.Note
	}

	if trouble == c.told || !c.greeted {
		return nil
	}
	c.told = trouble
	code := "trouble"
	if trouble == "" {
		code = "ok"
	}

	return c.sendData(handshake.Message{Type: "status", Code: code, Text: trouble})
}

// tellRelays tells a viewer that wants to know if the camera's relays have changed.
func (c *Camera) tellRelays() error {
	if !c.greeted || len(c.relaysHeld) == 0 {
		return nil
	}
	list := c.cfg.RelayList(c.relaysHeld)
	if list == nil {
		return nil
	}
	c.relaysHeld = list.Version
	return c.sendData(handshake.Message{Type: "relays", Relays: list})
}

// tellSending tells the viewer how the camera sends, every sendingEvery seconds.
func (c *Camera) tellSending() error {
	if c.ticks++; c.ticks%sendingEvery != 0 || !c.greeted || !c.live {
		return nil
	}
	return c.sendData(handshake.Message{Type: "sending", Sending: c.sender.Stats()})
}
