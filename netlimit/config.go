package netlimit

// Config says how much there is and how it is shared. The zero Config refuses everything.
type Config struct {
	Size int64 // the whole: at most 2^53; below 1, everything is refused

	// What one payer of each kind may hold. Zero fields have defaults; see withDefaults.
	IPv4    Share
	Host    Share // an IPv6 /64
	Site    Share // an IPv6 /56
	Network Share // an IPv6 /48
	Named   Share

	Payers int // how many are counted separately, at all levels together; 0: 65,536
}

// Share bounds what one payer may hold.
type Share struct {
	Max  int64   // the fixed upper bound; 0: none
	Free float64 // the bound under pressure: Free × free² / Size
	Min  int64   // what the bound under pressure never falls below, while that much is free
}

// Allows reports whether a payer that holds held may have more on top, when used of size is taken. It applies this
// package's rule for callers that keep their own counts. A share whose Free is 0 gets its Min and no more.
func (s Share) Allows(held, more, size, used int64) bool {
	free := size - used - more
	return free >= 0 && float64(held+more) <= s.threshold(float64(size), float64(free))
}

// threshold returns what a payer may hold when free of size is left.
func (s Share) threshold(size, free float64) float64 {
	limit := max(s.Free*free*free/size, float64(s.Min))
	if s.Max > 0 {
		limit = min(limit, float64(s.Max))
	}
	return limit
}

const (
	defaultPayers = 1 << 16

	// crowd bounds the payers counted separately within one /48: a sixteenth of all places. Payers beyond that are
	// counted by their /56 or /48 alone, so that no network can use up the places of all others.
	crowd = 16
)

// withDefaults replaces zero fields. An IPv4 address may be shared by a thousand households of a carrier, so its share
// is that of a /48.
func (c Config) withDefaults() Config {
	for _, d := range []struct {
		share *Share
		free  float64
	}{
		{&c.IPv4, 1. / 4},
		{&c.Host, 1. / 16},
		{&c.Site, 1. / 8},
		{&c.Network, 1. / 4},
		{&c.Named, 1. / 4},
	} {
		if d.share.Free <= 0 {
			d.share.Free = d.free
		}
		d.share.Min = max(d.share.Min, 0)
	}

	if c.Payers <= 0 {
		c.Payers = defaultPayers
	}
	return c
}

// shares returns the share of each kind of payer.
func (c Config) shares() [kinds]Share {
	return [kinds]Share{
		kindUnknown: c.Host,
		kindIPv4:    c.IPv4,
		kindHost:    c.Host,
		kindSite:    c.Site,
		kindNetwork: c.Network,
		kindNamed:   c.Named,
		kindOthers:  c.Network,
	}
}
