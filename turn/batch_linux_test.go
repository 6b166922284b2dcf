package turn

import "testing"

// TestPartsThatFollowEachOtherInMemoryAreOne: adjacent parts are joined, so that the kernel copies fewer, and more fit.
func TestPartsThatFollowEachOtherInMemoryAreOne(t *testing.T) {
	var g segmentGroup
	whole, apart := []byte("abcdef"), []byte("xyz")
	for _, p := range [][]byte{whole[:2], whole[2:3], nil, whole[3:], apart} {
		g.appendPart(p)
	}

	if g.used != 2 || string(g.parts[0]) != "abcdef" || string(g.parts[1]) != "xyz" {
		t.Errorf("%d parts: %q", g.used, g.parts[:g.used])
	}
}
