package doctor

import (
	"fmt"
	"time"
)

// clockTolerance is how far this machine's clock may be from a relay's. An offer is good for a minute, and two more for clocks that differ.
const clockTolerance = time.Minute

// clock compares this machine's clock with the relay's.
func (c *contact) clock() Finding {
	f := Finding{Check: "clock", Relay: c.name, Verdict: Unknown, Text: "the relay tells no time, so this machine's clock is not compared"}
	if !c.dated {
		return f
	}
	off := c.offset.Round(time.Second)
	f.Verdict, f.Value = OK, fmt.Sprint(int(off/time.Second))
	f.Text = "this machine's and the relay's agree"
	if off.Abs() > clockTolerance {
		way := "behind"
		if off < 0 {
			way = "ahead of"
		}
		f.Verdict = Bad
		f.Text = fmt.Sprintf("this machine's is %s %s the relay's: turn on automatic time on the one that is wrong, for cameras refuse what comes from another time", off.Abs(), way)
	}
	return f
}
