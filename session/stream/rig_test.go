package stream

import (
	"log/slog"
	"testing"
	"time"

	"github.com/pion/rtcp"

	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/session/handshake"
	"github.com/peephole-cam/peephole/signaling"
	"github.com/peephole-cam/peephole/test/sessiontest"
)

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

// sealerAndOpener returns the sealer of a session's camera and the opener of its viewer.
func sealerAndOpener(t *testing.T) (*handshake.FrameSealer, *handshake.FrameOpener) {
	t.Helper()
	camera, viewer := sessiontest.Pair(t)
	h, err := handshake.NewOfferer(viewer, nil)
	if err != nil {
		t.Fatal(err)
	}

	box := viewer.Mailbox(envelope.ToCamera, 1)
	wire, err := h.SealOffer(box, handshake.Offer{Still: true, Challenge: sessiontest.Random(8)})
	if err != nil {
		t.Fatal(err)
	}
	opened, err := camera.Open(box, wire, time.Now())
	if err != nil {
		t.Fatal(err)
	}

	o, err := handshake.ParseOffer(opened.Body)
	if err != nil {
		t.Fatal(err)
	}
	wire, ours, err := handshake.Received{Pair: camera, Opened: opened, Wire: wire}.Answer(o, handshake.Answer{})
	if err != nil {
		t.Fatal(err)
	}

	_, theirs, err := handshake.NewInbox(nil).OpenReply(h, signaling.Delivery{Body: wire})
	if err != nil {
		t.Fatal(err)
	}

	sealer, err := ours.NewFrameSealer(o.Challenge)
	if err != nil {
		t.Fatal(err)
	}
	opener, err := theirs.NewFrameOpener(handshake.NewFreshness(nil))
	if err != nil {
		t.Fatal(err)
	}
	return sealer, opener
}

// firstArrived returns a report that the first packet arrived at a given time by the other end's clock.
func firstArrived(at time.Duration) *rtcp.TransportLayerCC {
	return &rtcp.TransportLayerCC{
		PacketStatusCount: 1,
		RecvDeltas:        []*rtcp.RecvDelta{{Type: rtcp.TypeTCCPacketReceivedLargeDelta, Delta: at.Microseconds()}},
		PacketChunks: []rtcp.PacketStatusChunk{&rtcp.StatusVectorChunk{
			SymbolSize: rtcp.TypeTCCSymbolSizeTwoBit,
			SymbolList: []uint16{rtcp.TypeTCCPacketReceivedLargeDelta},
		}},
	}
}
