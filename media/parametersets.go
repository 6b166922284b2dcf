package media

import "slices"

// parameterSets keeps the newest SPS and PPS of a stream, for encoders that send them out of band or only once. The
// zero value is ready to use.
type parameterSets struct {
	sps, pps []parameterSet
}

type parameterSet struct {
	id  uint32
	nal []byte
}

// complete remembers the parameter sets in unit, and inserts those that a keyframe lacks: after a leading access unit
// delimiter, with start codes of four bytes. It returns every other access unit unchanged. An IDR picture is a keyframe
// even if key is false. ok is false for a keyframe whose parameter sets have not been seen, which cannot be decoded.
func (p *parameterSets) complete(unit parsedUnit, key bool) (complete parsedUnit, ok bool) {
	var sps, pps bool
	insert := 0
	for n, nal := range unit.nalUnits() {
		t := nalType(nal)
		if isVCL(t) { // parameter sets come before all slices (H.264, 7.4.1.2.3)
			key = key || t == nalIDR
			break
		}
		switch t {
		case nalSPS:
			sps = true
			p.sps = remember(p.sps, nal, 4) // the id follows profile, constraints and level
		case nalPPS:
			pps = true
			p.pps = remember(p.pps, nal, 1)
			continue
		case nalAUD:
		default:
			continue
		}

		insert = n.end // after the delimiter, and after the SPS if there is one
	}

	if !key || sps && pps {
		return unit, true
	}
	var missing []parameterSet
	if !sps {
		missing = append(missing, p.sps...)
		ok = len(p.sps) > 0
	}

	if !pps {
		missing = append(missing, p.pps...)
		ok = len(p.pps) > 0 && (sps || ok)
	}
	if !ok {
		return unit, false
	}

	data := slices.Clone(unit.data[:insert])
	for _, set := range missing {
		data = append(append(data, startCode...), set.nal...)
	}
	return parseUnit(append(data, unit.data[insert:]...)), true
}

// remember adds a parameter set to sets, or replaces the one with the same id. The id follows after skip bytes.
func remember(sets []parameterSet, nal []byte, skip int) []parameterSet {
	b := &bits{data: unescape(nal[min(skip, len(nal)):], 16)}
	id := b.ue()
	if b.short || id > 255 { // H.264, 7.4.2.2
		return sets
	}
	set := parameterSet{id: id, nal: append([]byte(nil), nal...)}

	for i := range sets {
		if sets[i].id == id {
			sets[i] = set
			return sets
		}
	}

	return append(sets, set)
}
