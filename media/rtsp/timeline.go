package rtsp

import "time"

// maxDrift is how far a camera's clock may deviate from ours before the timeline is corrected. No network delays
// packets that long.
const maxDrift = 5 * time.Second

// timeline turns RTP timestamps into times that start at 0 and never decrease. When timestamps stand still, jump or run
// backwards, it counts the time that has passed here.
type timeline struct {
	rate    uint32 // Hz
	started bool
	last    uint32
	arrived time.Duration // when last arrived
	begun   time.Duration
	pts     time.Duration
}

// at returns the time of an access unit with that RTP timestamp. arrived is its time of arrival, from any fixed origin.
func (l *timeline) at(timestamp uint32, arrived time.Duration) time.Duration {
	if !l.started {
		*l = timeline{
			rate:    l.rate,
			started: true,
			last:    timestamp,
			arrived: arrived,
			begun:   arrived,
		}
		return 0
	}

	ticks := int64(int32(timestamp - l.last)) // modulo 2^32: timestamps wrap
	step := time.Duration(ticks * int64(time.Second) / int64(l.rate))
	passed := max(arrived-l.arrived, 0)
	if step <= 0 || (step-passed).Abs() > maxDrift {
		step = passed
	}

	l.last, l.arrived = timestamp, arrived
	l.pts += step

	if here := arrived - l.begun; (l.pts - here).Abs() > maxDrift {
		l.pts = max(here, l.pts-step)
	}
	return l.pts
}
