package main

import (
	"sync"
	"time"
)

// counts is what people saw and read, summed since the start of the experiment except for the gauges.
type counts struct {
	Paired          int // households that are paired
	Connected       int // cameras at their relay now
	Asked           int // households that asked for a picture since the incident began
	Own             int // pictures shown that were their own camera's
	Strangers       int // pictures shown that were another household's
	Saw             int // people who saw at least one of those
	Rejected        int // things that arrived, did not open, and were not shown
	RejectedPackets int // how many of those were packets of live video
	Told            int // people who read about it
	Unanswered      int // requests without a picture
	Back            int // people who saw their own camera's picture after the fault had ended

	LiveNow       int // in the sample: who had a frame of their own camera within the last three seconds
	LiveOwn       int // frames of the sample's sessions
	LiveStrangers int
	LiveBroke     int // sessions that broke, and were started anew
	LiveBack      int // in the sample: who had a frame of their own camera after the fault had ended

	back, liveBack []time.Duration // how long after it
}

func (c *counts) plus(o counts) {
	c.Paired += o.Paired
	c.Connected += o.Connected
	c.Asked += o.Asked
	c.Own += o.Own
	c.Strangers += o.Strangers
	c.Saw += o.Saw
	c.Rejected += o.Rejected
	c.RejectedPackets += o.RejectedPackets
	c.Told += o.Told
	c.Unanswered += o.Unanswered
	c.Back += o.Back
	c.LiveNow += o.LiveNow
	c.LiveOwn += o.LiveOwn
	c.LiveStrangers += o.LiveStrangers
	c.LiveBroke += o.LiveBroke
	c.LiveBack += o.LiveBack
}

// tally counts for one shard.
type tally struct {
	mu     sync.Mutex
	counts counts // guarded by mu
}

func (t *tally) add(to func(*counts)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	to(&t.counts)
}

func (t *tally) now() counts {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.counts
}
