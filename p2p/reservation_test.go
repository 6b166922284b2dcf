package p2p

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"

	pb "github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/pb"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/util"
	"google.golang.org/protobuf/proto"
)

// TestReservationLifeNeedsNoClock: a relay's hour is an hour, and what its clock says beside ours is not believed.
func TestReservationLifeNeedsNoClock(t *testing.T) {
	now := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	at := func(d time.Duration) uint64 { return uint64(now.Add(d).Unix()) }
	for _, tt := range []struct {
		name    string
		expires uint64
		want    time.Duration
	}{
		{"an hour", at(time.Hour), time.Hour},
		{"a day", at(maxLife), maxLife},
		{"a week", at(7 * 24 * time.Hour), usualLife},
		{"a second", at(time.Second), usualLife},
		{"a year ago", at(-365 * 24 * time.Hour), usualLife},
		{"never said", 0, usualLife},
		{"as long as can be written", 1<<64 - 1, usualLife},
	} {
		if got := reservationLife(tt.expires, now); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

// FuzzCircuitMessage: whatever a relay or its caller sends is read within its bound, and nothing behind it is.
func FuzzCircuitMessage(f *testing.F) {
	for _, m := range []proto.Message{
		&pb.HopMessage{Type: pb.HopMessage_RESERVE.Enum()},
		&pb.HopMessage{Type: pb.HopMessage_STATUS.Enum(), Status: pb.Status_OK.Enum(), Limit: limit()},
		&pb.StopMessage{Type: pb.StopMessage_CONNECT.Enum(), Peer: &pb.Peer{Id: []byte("somebody")}},
	} {
		var b bytes.Buffer
		if err := util.NewDelimitedWriter(&b).WriteMsg(m); err != nil {
			f.Fatal(err)
		}
		f.Add(b.Bytes())
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, m := range []proto.Message{&pb.HopMessage{}, &pb.StopMessage{}} {
			from := bytes.NewReader(append(data, "behind"...))
			length, prefix := binary.Uvarint(append(data, "behind"...))

			if readMessage(from, m) != nil {
				continue
			}
			if length > maxHopMessage {
				t.Errorf("read a message of %d bytes", length)
			}
			if read := len(data) + len("behind") - from.Len(); read != prefix+int(length) {
				t.Errorf("read %d bytes of a message of %d behind %d of length", read, length, prefix)
			}
		}
	})
}
