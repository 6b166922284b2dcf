package doctor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/peephole-cam/peephole/signaling"
	"github.com/peephole-cam/peephole/signaling/region"
)

// signBefore is how long before a map of regions expires the next one should have been signed.
const signBefore = 14 * 24 * time.Hour

// checkRegions tells whether devices get the operator's map of regions from the relay, and whether it leads to it.
func (o Operator) checkRegions(ctx context.Context, now time.Time) Finding {
	client := region.NewClient(o.Trust)
	defer client.Close()
	served, err := client.Fetch(ctx, o.URL)
	return o.judgeRegions(served, err, now)
}

// judgeRegions concludes from the map that the relay serves, or from why there is none.
func (o Operator) judgeRegions(served []byte, err error, now time.Time) Finding {
	f := Finding{Check: "regions"}
	switch {
	case errors.Is(err, region.ErrNone) && o.Regions == "":
		return f.conclude(OK, "none", "it serves no map of regions, and a single relay needs none")
	case errors.Is(err, region.ErrNone):
		return f.conclude(Bad, "none", "it serves no map of regions: restart it with -regions")
	case err != nil:
		return f.conclude(Unknown, "", "its map of regions was not seen: do first what the line of https says")
	}

	m, _, err := region.Read(served, now)
	if err != nil && !errors.Is(err, region.ErrExpired) {
		return f.conclude(Bad, "foreign", "what is served as its map of regions is none: check the public URL, and "+
			"any proxy in front of the relay")
	}
	if o.Regions != "" {
		if file, err := signaling.ReadFile(o.Regions); err != nil || !bytes.Equal(file, served) {
			return f.conclude(Bad, "other", "it serves a different map of regions than its file: reload it "+
				"(kill -HUP), and read in its log why it keeps another")
		}
	}
	if !slices.ContainsFunc(m.Regions, func(r region.Region) bool { return r.URL == o.URL }) {
		return f.conclude(Bad, "unnamed", "the map of regions does not name the public URL, so no device chooses this "+
			"relay: add it to the map, or correct -public-url")
	}
	return judgeMapLife(f, m.NotAfter.Sub(now))
}

// judgeMapLife concludes about a map that is right for as long as it lasts.
func judgeMapLife(f Finding, left time.Duration) Finding {
	days := int(left / (24 * time.Hour))
	value := fmt.Sprint(days)
	switch {
	case left <= 0:
		return f.conclude(Bad, value, fmt.Sprintf("the map of regions expired %d days ago: sign a new one with relay "+
			"regions sign, or set this machine's clock if that is wrong", -days))
	case left < signBefore:
		return f.conclude(Bad, value, fmt.Sprintf("the map of regions expires in %d days: sign a new one with relay "+
			"regions sign, and reload every relay (kill -HUP)", days))
	}
	return f.conclude(OK, value,
		fmt.Sprintf("the map of regions names this relay, and is valid for %d more days", days))
}
