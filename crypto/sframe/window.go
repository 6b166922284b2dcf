package sframe

const windowSize = 1024

// window remembers which of the last windowSize counters were accepted. Its zero value has seen none.
type window struct {
	bits  [windowSize / 64]uint64
	above uint64 // the highest accepted plus one; 0: none
	full  bool   // the very last counter has been accepted
}

// has says whether ctr was accepted, or is too old to tell.
func (w *window) has(ctr uint64) bool {
	if w.full && ctr == ^uint64(0) {
		return true
	}
	if ctr >= w.above {
		return w.full
	}
	if w.above-ctr > windowSize {
		return true
	}
	return w.bits[ctr%windowSize/64]&(1<<(ctr%64)) != 0
}

func (w *window) add(ctr uint64) {
	if ctr >= w.above {
		if ctr-w.above >= windowSize {
			w.bits = [windowSize / 64]uint64{}
		} else {
			for c := w.above; c < ctr; c++ {
				w.bits[c%windowSize/64] &^= 1 << (c % 64)
			}
		}
		w.above = ctr + 1
		if w.above == 0 { // ctr was the last there is: nothing can follow
			w.above, w.full = ctr, true
		}
	}
	w.bits[ctr%windowSize/64] |= 1 << (ctr % 64)
}
