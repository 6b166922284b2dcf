package turn

import "iter"

// segments cuts what the kernel has joined back into datagrams: all of size bytes, but for the last, which may be shorter.
// A size that cannot be leaves it whole.
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
