package media

import "iter"

// maxKeptNALs is how many NAL units of one access unit are remembered. Encoders make a few hundred at most. A hostile
// camera could send NAL units that are smaller than the record kept of each.
const maxKeptNALs = 1024

// parsedUnit is an access unit with its NAL units. It is passed on from where an access unit is first parsed, so that
// its bytes are searched for start codes only once.
type parsedUnit struct {
	data []byte
	nals []nalUnit // nil if there are more than maxKeptNALs
}

// parseUnit finds the NAL units of an access unit.
func parseUnit(data []byte) parsedUnit {
	nals := make([]nalUnit, 0, 8)
	for n := range nalUnits(data) {
		if len(nals) == maxKeptNALs {
			return parsedUnit{data: data}
		}
		nals = append(nals, n)
	}
	return parsedUnit{data: data, nals: nals}
}

// nalUnits iterates over the NAL units, like the function of that name.
func (p parsedUnit) nalUnits() iter.Seq2[nalUnit, []byte] {
	return func(yield func(nalUnit, []byte) bool) { p.eachNAL(yield) }
}

func (p parsedUnit) eachNAL(yield func(nalUnit, []byte) bool) {
	if p.nals == nil {
		scanNALs(p.data, yield)
		return
	}
	for _, n := range p.nals {
		if !yield(n, p.data[n.begin:n.end]) {
			return
		}
	}
}

// firstSlice returns the NAL unit of the first slice, nil if there is none.
func (p parsedUnit) firstSlice() []byte {
	for _, nal := range p.nalUnits() {
		if isVCL(nalType(nal)) {
			return nal
		}
	}
	return nil
}

// isIDR reports whether the first slice belongs to an IDR picture.
func (p parsedUnit) isIDR() bool { return nalType(p.firstSlice()) == nalIDR }
