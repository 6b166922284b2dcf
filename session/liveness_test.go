package session

import (
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/peephole-cam/peephole/test/bubble"
)

// Silence is reported once, as a stall. If this end had no time to listen, silence is reported only after it has had
// some.
func TestSilenceIsNoStallWhileNobodyListens(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		var told []bool
		var starved starvation
		v := &Viewer{
			cfg:     ViewerConfig{OnStall: func(stalled bool) { told = append(told, stalled) }},
			starved: starved.since,
		}

		change := func(to webrtc.PeerConnectionState) {
			t.Helper()
			if err := v.stateChanged(to); err != nil {
				t.Fatal(err)
			}
		}

		says := func(when string, want ...bool) {
			t.Helper()
			if len(told) != len(want) || len(want) > 0 && told[len(told)-1] != want[len(want)-1] {
				t.Errorf("%s: OnStall got %v, want %v", when, told, want)
			}
			told = nil
		}

		change(webrtc.PeerConnectionStateConnected)
		says("connected", false)
		change(webrtc.PeerConnectionStateDisconnected)
		says("silent", true)
		v.judgeSilence()
		says("still silent")
		change(webrtc.PeerConnectionStateConnected)
		says("heard", false)

		starved.begin()
		time.Sleep(stallAfter)
		starved.end()
		change(webrtc.PeerConnectionStateDisconnected)
		says("silent, and nobody listened")
		time.Sleep(stallAfter / 4)
		v.judgeSilence()
		says("and nobody listened long enough")
		time.Sleep(stallAfter)
		v.judgeSilence()
		says("silent all the while", true)
		change(webrtc.PeerConnectionStateConnected)
		says("heard", false)

		starved.begin()
		time.Sleep(stallAfter)
		starved.end()
		change(webrtc.PeerConnectionStateDisconnected)
		change(webrtc.PeerConnectionStateConnected)
		says("heard as soon as somebody listened", false)
		time.Sleep(stallAfter)
		v.judgeSilence()
		says("and not silent since")
	})
}
