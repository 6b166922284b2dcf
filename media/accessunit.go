package media

import "time"

// AccessUnit is one coded picture and what belongs to it (H.264, 3.1; RFC 6184, 3.1).
type AccessUnit struct {
	// Data is an Annex B byte stream, exactly as it was read. Every keyframe carries its parameter sets in band.
	// Access units are shared between subscribers: nobody may change Data.
	Data     []byte
	Keyframe bool          // an IDR picture: decoding can begin here
	PTS      time.Duration // presentation time on the feed's own clock, never falling
	Captured time.Time     // when it arrived here, the nearest known to when it was captured
}

// Reference reports whether other pictures may be predicted from this one (nal_ref_idc; H.264, 7.4.1): without one that is no
// reference, all others can be decoded.
func (u AccessUnit) Reference() bool {
	for _, nal := range nalUnits(u.Data) {
		if isVCL(nalType(nal)) {
			return nal[0]&0x60 != 0
		}
	}
	return true
}
