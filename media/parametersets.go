package media

// ParameterSets keeps the newest SPS and PPS of a stream, for encoders that send them out of band or only once.
// The zero value is ready.
type ParameterSets struct {
	sps, pps []parameterSet
}

type parameterSet struct {
	id  uint32
	nal []byte
}

// Complete returns unit unchanged, unless it is an IDR picture without SPS or PPS: then the newest ones are inserted,
// behind a leading access unit delimiter, with start codes of four bytes. Sets inside unit are remembered. ok is
// false for an IDR picture whose sets were never seen: it cannot be decoded.
func (p *ParameterSets) Complete(unit []byte) (complete []byte, ok bool) {
	var idr, sps, pps bool
	insert := 0
	for at, nal := range nalUnits(unit) {
		switch nalType(nal) {
		case nalIDR:
			idr = true
		case nalSPS:
			sps = true
			p.sps = remember(p.sps, nal, 4) // behind profile, constraints and level
		case nalPPS:
			pps = true
			p.pps = remember(p.pps, nal, 1)
			continue
		case nalAUD:
		default:
			continue
		}
		if !idr { // behind the delimiter and an SPS that is there
			_, body := nextStartCode(unit, at)
			insert = body + len(nal)
		}
	}
	if !idr || sps && pps {
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
	complete = append(complete, unit[:insert]...)
	for _, set := range missing {
		complete = append(append(complete, startCode...), set.nal...)
	}
	return append(complete, unit[insert:]...), true
}

// remember puts a parameter set, whose id follows after skip bytes, into sets, in the place of the one of the same id.
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
