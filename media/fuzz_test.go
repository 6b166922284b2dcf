package media

import (
	"bytes"
	"testing"

	"github.com/pion/rtp"
)

// Every sealed frame survives its carrier unchanged, in packets that fit. So do the frames after a lost packet.
func FuzzPacketize(f *testing.F) {
	f.Add([]byte{1}, true, uint16(0), uint16(0))
	f.Add([]byte{0x88, 0x84, 0, 0, 1}, false, uint16(2000), uint16(1))
	f.Add([]byte{0x67, 0x42, 0xc0, 0x0a}, true, uint16(1178), uint16(2))
	f.Fuzz(func(t *testing.T, sealed []byte, key bool, more, lost uint16) {
		sealed = append(sealed, bytes.Repeat([]byte{0xfc}, int(more%5000))...)
		if len(sealed) == 0 {
			return
		}
		for _, carrier := range carriers {
			a := NewAssembler(carrier)
			var seq uint16
			push := func(sealed []byte, key bool, lost int) (frames []Frame) {
				payloads := carrier.Packetize(key, sealed)
				for n, p := range payloads {
					if seq++; len(p) > MaxPayload {
						t.Fatalf("a payload of %d bytes", len(p))
					}
					if n == lost {
						continue
					}

					got, _ := a.Push(&rtp.Packet{Header: rtp.Header{SequenceNumber: seq, Marker: n == len(payloads)-1},
						Payload: p})
					frames = append(frames, got...)
				}

				return frames
			}

			if got := push(sealed, key, -1); len(got) != 1 || got[0].Keyframe != key || got[0].Gap ||
				!bytes.Equal(got[0].Sealed, sealed) {
				t.Fatalf("%s: %d bytes became %d frames", carrier, len(sealed), len(got))
			}
			frames := push(sealed, key, int(lost))
			for range maxWaiting { // until the assembler gives up on the lost packet
				frames = append(frames, push([]byte{7}, false, -1)...)
			}

			for _, f := range frames {
				if !bytes.Equal(f.Sealed, sealed) && !bytes.Equal(f.Sealed, []byte{7}) {
					t.Fatalf("%s: after a lost packet got %x", carrier, f.Sealed)
				}
			}

			if len(frames) < maxWaiting {
				t.Fatalf("%s: %d frames follow a lost packet, %d got through", carrier, maxWaiting, len(frames))
			}
		}
	})
}
