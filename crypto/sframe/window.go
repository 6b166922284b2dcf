package sframe

const windowSize = 1024

// window remembers which of the last windowSize counters were accepted. The zero value has accepted none.
type window struct {
	bits  [windowSize / 64]uint64
	above uint64 // the highest accepted plus one; 0: none
	full  bool   // the very last counter has been accepted
}

// has reports whether ctr was accepted, or is too old to tell.
func (w *window) has(ctr uint64) bool {
	if ctr >= w.above {
		return w.full // nothing lies above, and ctr is the last counter
	}
	if w.above-ctr > windowSize {
		return true
	}
	return w.bits[ctr%windowSize/64]&(1<<(ctr%64)) != 0
}

func (w *window) add(ctr uint64) {
	if ctr >= w.above {
		for c := max(w.above, ctr-min(ctr, windowSize)); c < ctr; c++ {
			w.bits[c%windowSize/64] &^= 1 << (c % 64)
		}
		w.above = ctr + 1
		if w.above == 0 { // ctr was the last counter of all
			w.above, w.full = ctr, true
		}
	}
	w.bits[ctr%windowSize/64] |= 1 << (ctr % 64)
}
