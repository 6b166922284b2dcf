package stream

import (
	"slices"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/session/handshake"
	"github.com/peephole-cam/peephole/test/bubble"
)

// Only pictures that can be decoded pass. While it lacks a keyframe, the viewer asks for one twice a second.
func TestGapFilterPassesWhatCanBeDecoded(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		var passed []uint64
		asked := 0
		var filter gapFilter
		take := func(key bool, numbers ...uint64) {
			for _, n := range numbers {
				if filter.decodable(handshake.Frame{First: n, CTR: n, Keyframe: key && n == numbers[0]}) {
					passed = append(passed, n)
				} else if filter.shouldAsk() {
					asked++
				}
				time.Sleep(40 * time.Millisecond)
			}
		}

		take(false, 0, 1)
		take(true, 2, 3, 4)
		if want := []uint64{2, 3, 4}; !slices.Equal(passed, want) || asked != 1 {
			t.Errorf("passed %v, want %v; asked %d times", passed, want, asked)
		}

		time.Sleep(time.Second)
		take(false, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25)
		take(true, 30, 31)
		take(true, 33)
		if want := []uint64{2, 3, 4, 30, 31, 33}; !slices.Equal(passed, want) || asked != 3 {
			t.Errorf("passed %v, want %v; asked %d times", passed, want, asked)
		}
	})
}
