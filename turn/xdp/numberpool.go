package xdp

// numberPool hands out the numbers from 1 to below max, each to one holder at a time.
type numberPool struct {
	max, last uint32
	free      []uint32
}

// acquire returns a free number, or ErrFull.
func (n *numberPool) acquire() (uint32, error) {
	if last := len(n.free) - 1; last >= 0 {
		number := n.free[last]
		n.free = n.free[:last]
		return number, nil
	}

	if n.last+1 >= n.max {
		return 0, ErrFull
	}
	n.last++
	return n.last, nil
}

// release makes a number free again.
func (n *numberPool) release(number uint32) { n.free = append(n.free, number) }
