package xdp

// numbers hands out the numbers from 1 to below most, each to one at a time.
type numbers struct {
	most, last uint32
	free       []uint32
}

func (n *numbers) take() (uint32, error) {
	if last := len(n.free) - 1; last >= 0 {
		number := n.free[last]
		n.free = n.free[:last]
		return number, nil
	}
	if n.last+1 >= n.most {
		return 0, ErrFull
	}
	n.last++
	return n.last, nil
}

func (n *numbers) give(number uint32) { n.free = append(n.free, number) }
