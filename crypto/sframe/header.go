package sframe

import "math/bits"

// maxHeader is the longest header: the config byte, 8 bytes of KID, 8 bytes of CTR.
const maxHeader = 17

// appendHeader appends the header of RFC 9605, section 4.3: each value below 8 in its three bits, others in the fewest bytes.
func appendHeader(dst []byte, kid, ctr uint64) []byte {
	config := len(dst)
	dst = append(dst, 0)
	k, dst := appendValue(dst, kid)
	c, dst := appendValue(dst, ctr)
	dst[config] = k<<4 | c
	return dst
}

// appendValue appends v's bytes, if it needs any, and returns its four config bits.
func appendValue(dst []byte, v uint64) (config byte, out []byte) {
	if v < 8 {
		return byte(v), dst
	}
	n := (bits.Len64(v) + 7) / 8
	for i := n - 1; i >= 0; i-- {
		dst = append(dst, byte(v>>(8*i)))
	}
	return 8 | byte(n-1), dst
}

// parseHeader reads a header and its size in bytes. It refuses values that are not in their shortest form.
func parseHeader(b []byte) (kid, ctr uint64, size int, err error) {
	if len(b) == 0 {
		return 0, 0, 0, ErrHeader
	}
	rest := b[1:]
	if kid, rest, err = parseValue(b[0]>>4, rest); err != nil {
		return 0, 0, 0, err
	}
	if ctr, rest, err = parseValue(b[0]&15, rest); err != nil {
		return 0, 0, 0, err
	}
	return kid, ctr, len(b) - len(rest), nil
}

func parseValue(config byte, b []byte) (v uint64, rest []byte, err error) {
	if config&8 == 0 {
		return uint64(config), b, nil
	}
	n := int(config&7) + 1
	if len(b) < n {
		return 0, nil, ErrHeader
	}
	for _, x := range b[:n] {
		v = v<<8 | uint64(x)
	}
	if v < 8 || b[0] == 0 {
		return 0, nil, ErrHeader
	}
	return v, b[n:], nil
}
