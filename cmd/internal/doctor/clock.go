package doctor

import (
	"fmt"
	"time"
)

// clockTolerance is how far this machine's clock may be from a relay's. An offer is valid for one minute, and for two
// more to allow for clocks that differ.
const clockTolerance = time.Minute

// checkClock compares this machine's clock with the relay's.
func (c *contact) checkClock() Finding {
	f := Finding{Check: "clock", Relay: c.name}
	if !c.dated {
		return f.conclude(Unknown, "", "the relay does not say the time, so this machine's clock was not compared")
	}

	off := c.offset.Round(time.Second)
	value := fmt.Sprint(int(off / time.Second))
	if off.Abs() <= clockTolerance {
		return f.conclude(OK, value, "this machine's clock and the relay's agree")
	}
	direction := "behind"
	if off < 0 {
		direction = "ahead of"
	}
	return f.conclude(Bad, value, fmt.Sprintf("this machine's clock is %s %s the relay's: turn on automatic time on "+
		"the one that is wrong, since cameras refuse messages from another time", off.Abs(), direction))
}
