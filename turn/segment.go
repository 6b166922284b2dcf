package turn

import "iter"

// segments cuts what the kernel has joined back into datagrams. All have size bytes, except that the last may be
// shorter. If size is not positive, it does not cut.
func segments(p []byte, size int) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		if size <= 0 {
			size = len(p)
		}
		for len(p) > 0 {
			n := min(size, len(p))
			if !yield(p[:n]) {
				return
			}
			p = p[n:]
		}
	}
}
