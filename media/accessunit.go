package media

import (
	"time"

	"github.com/peephole-cam/peephole/clock"
)

// AccessUnit is one coded picture with its parameter sets and other NAL units (H.264, 3.1; RFC 6184, section 3.1).
type AccessUnit struct {
	// Data is an Annex B byte stream, exactly as it was read. A Feed's keyframes carry their parameter sets in band.
	// Subscribers share Data, so nobody may change it.
	Data     []byte
	Keyframe bool          // decoding can start here: an IDR picture or a recovery point
	PTS      time.Duration // presentation time on the feed's own clock; it never decreases
	Captured clock.Moment  // when it arrived here, which is the best known estimate of when it was captured
	Gap      bool          // something that it may refer to is missing before it

	parsed parsedUnit // the NAL units of Data, if they have been found already; see parse
}

// Reference reports whether other pictures may be predicted from this one (nal_ref_idc; H.264, 7.4.1). A decoder can do
// without a picture that is no reference.
func (u AccessUnit) Reference() bool {
	slice := u.parse().firstSlice()
	return slice == nil || slice[0]&0x60 != 0
}

// parse returns Data with its NAL units. It trusts those that were found before only if they were found in these very
// bytes: a Source that wraps another may have replaced Data.
func (u AccessUnit) parse() parsedUnit {
	known := u.parsed.data
	if len(known) > 0 && len(known) == len(u.Data) && &known[0] == &u.Data[0] {
		return u.parsed
	}
	return parseUnit(u.Data)
}
