package media

// bits reads an RBSP bit by bit (H.264, 7.2). Reading past the end yields zeros and sets short.
type bits struct {
	data  []byte
	pos   int // in bits
	short bool
}

func (b *bits) bit() uint32 {
	i := b.pos >> 3
	if i >= len(b.data) {
		b.short = true
		return 0
	}
	v := b.data[i] >> (7 - b.pos&7) & 1
	b.pos++

	return uint32(v)
}

func (b *bits) flag() bool { return b.bit() == 1 }

// u reads n bits, n at most 32.
func (b *bits) u(n int) uint32 {
	var v uint32
	for range n {
		v = v<<1 | b.bit()
	}
	return v
}

// ue reads an unsigned Exp-Golomb code (H.264, 9.1). A code longer than 32 bits sets short.
func (b *bits) ue() uint32 {
	zeros := 0
	for !b.flag() {
		if zeros++; zeros > 31 || b.short {
			b.short = true
			return 0
		}
	}

	return 1<<zeros - 1 + b.u(zeros)
}

// se reads a signed Exp-Golomb code (H.264, 9.1.1).
func (b *bits) se() int32 {
	k := b.ue()
	v := int32(k>>1 + k&1)
	if k&1 == 0 {
		return -v
	}
	return v
}
