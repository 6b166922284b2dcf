package doctor

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Camera is a paired camera to look for on this machine's own network.
type Camera struct {
	Name string
	Find func(context.Context) error // looks for it until it answers or the context ends
}

// lanWait is how long a camera may take to answer on this network. One that is there answers at once.
const lanWait = 3 * time.Second

// checkLAN tells of each camera whether it answers on this network. To be elsewhere is no fault.
func checkLAN(ctx context.Context, cameras []Camera) []Finding {
	ctx, cancel := context.WithTimeout(ctx, lanWait)
	defer cancel()
	findings := make([]Finding, len(cameras))
	var searches sync.WaitGroup
	for i, c := range cameras {
		searches.Go(func() { findings[i] = c.finding(c.Find(ctx)) })
	}
	searches.Wait()
	return findings
}

// finding returns what it means that a search for the camera ended with err.
func (c Camera) finding(err error) Finding {
	f := Finding{Check: "lan", Camera: c.Name}
	switch {
	case err == nil:
		return f.conclude(OK, "yes", "on this network: yes, so you can watch it here without the relay")
	case errors.Is(err, context.DeadlineExceeded):
		return f.conclude(OK, "no", "on this network: no, because nothing answers by its names: the camera is "+
			"elsewhere, off or set to -lan=false, or this network keeps its devices apart, as guest networks do")
	}
	return f.conclude(Unknown, "", "on this network: unknown, because this machine cannot search it: "+err.Error())
}
