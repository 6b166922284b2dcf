package region

import (
	"bytes"
	"slices"

	"github.com/peephole-cam/peephole/crypto/label"
)

// SeedSize is the size of a place seed in bytes.
const SeedSize = 16

// PlaceOrder returns the regions in the order that belongs to a place seed. A camera and its viewers, who know the
// seed, thus look for each other at the same regions first, and no two cameras at the same ones.
func PlaceOrder(seed []byte, regions []Region) []Region {
	order := slices.Clone(regions)
	slices.SortFunc(order, func(a, b Region) int { return bytes.Compare(rank(seed, a), rank(seed, b)) })
	return order
}

func rank(seed []byte, r Region) []byte { return label.MAC(seed, label.RegionOrder, []byte(r.Name)) }
