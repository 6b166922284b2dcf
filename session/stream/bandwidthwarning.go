package stream

import (
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/peephole-cam/peephole/session/handshake"
)

const (
	// The warning begins when pictures have been left out minTimes, over at least minAfter. It ends clearAfter after
	// the last one.
	minTimes   = 3
	minAfter   = 5 * time.Second
	clearAfter = 10 * time.Second

	// A processor is to blame if pictures spent the share maxWaited of their delay waiting for one, or if the viewer's
	// end spends the share maxBusy of its time so. Behind a thin line, on a machine with load 20, the share is a tenth;
	// on a machine whose processor is the bottleneck, it is nine tenths.
	maxWaited = 0.5
	maxBusy   = 0.25
	// A viewer's report covers the last ChallengeEvery, and counts if pictures were left out in that time. A viewer
	// that has been silent for longer than viewerSilent gets no new warning, because its next report may name the
	// cause.
	viewerSilent = 3 * handshake.ChallengeEvery
)

// shortage is the resource that is short.
type shortage int

const (
	ofNetwork shortage = iota
	ofCamera           // of the camera's processor
	ofViewer           // of the viewer's processor
)

// leftOut is a picture that was not sent.
type leftOut struct {
	late            time.Duration // how far behind it was
	waited          time.Duration // how much of that time this end waited for a processor
	carried, wanted float64       // bit/s that the network carries, and that the stream needs; 0 if unknown
}

// bandwidthWarning finds out why pictures are left out, and writes the warning.
type bandwidthWarning struct {
	mu          sync.Mutex
	since, last time.Time // guarded by mu; when pictures were left out, first and last, without a pause of clearAfter
	times       int       // guarded by mu; how often pictures were left out since then
	carried     float64   // guarded by mu; bit/s, averaged
	waited      float64   // guarded by mu; which share of their delay pictures waited here for a processor, averaged
	busy        float64   // guarded by mu; which share of its time the viewer's end waits for a processor, averaged
	reported    bool      // guarded by mu; the viewer has reported since pictures began to be left out
	heard       time.Time // guarded by mu; when the viewer last reported; zero if never
	said        float64   // guarded by mu; the bit/s that thin names
	thin        string    // guarded by mu; the warning about the network
	told        string    // guarded by mu; what String last returned
}

// noteLeftOut notes a picture that was left out.
func (w *bandwidthWarning) noteLeftOut(now time.Time, p leftOut) {
	w.mu.Lock()
	defer w.mu.Unlock()
	waited := min(1, float64(p.waited)/float64(max(p.late, 1)))
	if now.Sub(w.last) > clearAfter {
		w.since, w.times, w.thin = now, 0, ""
		w.carried, w.waited, w.reported = 0, waited, false
	}

	w.last = now
	w.times++
	w.waited += (waited - w.waited) / 8
	if w.carried == 0 {
		w.carried = p.carried
	}
	w.carried = (w.carried + p.carried) / 2

	if w.thin != "" && math.Abs(w.carried-w.said) <= w.said/3 { // a new warning for each measurement would be noise
		return
	}

	w.said = w.carried
	if p.wanted == 0 { // no group of pictures has ended yet
		w.thin = "the network is too slow for this camera's stream: choose the camera's substream"
		return
	}
	measured := ""
	if w.said > 0 && w.said < p.wanted { // if packets are dropped instead of queued, said is unreliable
		measured = fmt.Sprintf("%.0f kbit/s, ", w.said/1000)
	}
	w.thin = fmt.Sprintf("the network is too slow for this camera's stream: %s%.0f kbit/s wanted: "+
		"choose the camera's substream", measured, p.wanted/1000)
}

// report notes which share of its time, from 0 to 1, the viewer's end waits for a processor.
func (w *bandwidthWarning) report(now time.Time, busy float64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.heard = now
	switch {
	case now.Sub(w.last) > handshake.ChallengeEvery:
	case !w.reported:
		w.busy, w.reported = busy, true
	default:
		w.busy += (busy - w.busy) / 4
	}
}

// shortage returns why pictures were last left out.
func (w *bandwidthWarning) shortage() shortage {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.judge()
}

// judge returns why pictures were last left out. mu must be held.
func (w *bandwidthWarning) judge() shortage {
	switch {
	case w.waited >= maxWaited:
		return ofCamera
	case w.reported && w.busy >= maxBusy:
		return ofViewer
	}
	return ofNetwork
}

// String returns the warning, or an empty string if there is none.
func (w *bandwidthWarning) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.heard.IsZero() && time.Since(w.heard) > viewerSilent {
		return w.told
	}

	w.told = ""
	if w.times >= minTimes && w.last.Sub(w.since) >= minAfter && time.Since(w.last) <= clearAfter {
		w.told = map[shortage]string{
			ofNetwork: w.thin,
			ofCamera: "the camera's computer is too busy to send every picture: " +
				"let it do less, or choose the camera's substream",
			ofViewer: "the viewing device is too busy to keep up: close other programs there",
		}[w.judge()]
	}

	return w.told
}

// lowerFor returns the sentence that says why the camera sends the lower stream.
func lowerFor(s shortage) string {
	return map[shortage]string{
		ofNetwork: "the network is too slow for this camera's main stream: this is the lower one",
		ofCamera:  "the camera's computer is too busy for its main stream: this is the lower one",
		ofViewer:  "the viewing device is too busy for this camera's main stream: this is the lower one",
	}[s]
}
