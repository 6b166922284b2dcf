package sframe

import "math/bits"

// maxHeader is the longest header: the config byte, 8 bytes of KID, 8 bytes of CTR.
const maxHeader = 17

// appendHeader appends the header of RFC 9605, section 4.3: each value below 8 in its three bits, others in the fewest
// bytes.
func appendHeader(dst []byte, kid, ctr uint64) []byte {
	dst = append(dst, configBits(kid)<<4|configBits(ctr))
	return appendValue(appendValue(dst, kid), ctr)
}

// configBits returns v's four bits of the config byte.
func configBits(v uint64) byte {
	if v < 8 {
		return byte(v)
	}
	return 8 | byte(valueSize(v)-1)
}

// appendValue appends v's bytes, unless v fits the config byte.
func appendValue(dst []byte, v uint64) []byte {
	if v < 8 {
		return dst
	}
	for i := valueSize(v) - 1; i >= 0; i-- {
		dst = append(dst, byte(v>>(8*i)))
	}
	return dst
}

// valueSize returns the smallest number of bytes that holds v.
func valueSize(v uint64) int { return (bits.Len64(v) + 7) / 8 }

// parseHeader reads a header, and returns its size in bytes too. It refuses values that are not in their shortest form.
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
