package handshake

import "github.com/peephole-cam/peephole/media"

// joiner joins the pieces of large access units, which arrive in the order of their counters. If a piece is missing, it
// drops the picture; the gap then shows in the First of the next frame.
type joiner struct {
	begun *Frame // nil if the next piece must be a first one
}

// join adds the next frame that has opened, and returns the picture that the frame completes.
func (j *joiner) join(f Frame) (whole Frame, ok bool) {
	if f.continued {
		if j.begun == nil || j.begun.CTR+1 != f.CTR || j.begun.Keyframe != f.Keyframe ||
			len(j.begun.AccessUnit)+len(f.AccessUnit) > media.MaxAccessUnit {
			j.begun = nil
			return Frame{}, false
		}
		j.begun.AccessUnit = append(j.begun.AccessUnit, f.AccessUnit...)
		j.begun.CTR = f.CTR
	} else {
		j.begun = &f
	}

	if f.continues {
		return Frame{}, false
	}

	whole, j.begun = *j.begun, nil
	whole.continues = false
	return whole, true
}
