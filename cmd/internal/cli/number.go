package cli

import (
	"flag"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Int adds a flag for a whole number from lowest to highest.
func Int(set *flag.FlagSet, name string, value, lowest, highest int, usage string) *int {
	p := new(int)
	IntVar(set, p, name, value, lowest, highest, usage)
	return p
}

// IntVar is like Int, and stores the number in p.
func IntVar(set *flag.FlagSet, p *int, name string, value, lowest, highest int, usage string) {
	*p = value
	set.Var(&number[int]{
		p:      p,
		min:    lowest,
		max:    highest,
		parse:  strconv.Atoi,
		format: strconv.Itoa,
	}, name, usage)
}

// Duration adds a flag for a duration from lowest to highest.
func Duration(set *flag.FlagSet, name string, value, lowest, highest time.Duration, usage string) *time.Duration {
	p := new(time.Duration)
	DurationVar(set, p, name, value, lowest, highest, usage)
	return p
}

// DurationVar is like Duration, and stores the duration in p.
func DurationVar(
	set *flag.FlagSet, p *time.Duration, name string, value, lowest, highest time.Duration, usage string,
) {
	*p = value
	set.Var(&number[time.Duration]{
		p:      p,
		min:    lowest,
		max:    highest,
		parse:  time.ParseDuration,
		format: formatDuration,
	}, name, usage)
}

// formatDuration returns 24h rather than 24h0m0s.
func formatDuration(d time.Duration) string {
	s := d.String()
	if d == 0 {
		return "0"
	}
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}

	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// number is the value of a flag with a range. It implements flag.Value.
type number[T int | time.Duration] struct {
	p        *T
	min, max T
	parse    func(string) (T, error)
	format   func(T) string
	refused  error // why the last value was refused
}

func (n *number[T]) Set(text string) error {
	v, err := n.parse(text)
	if err == nil && v >= n.min && v <= n.max {
		*n.p = v
		return nil
	}
	n.refused = fmt.Errorf("%s: want %s to %s", text, n.format(n.min), n.format(n.max))
	return n.refused
}

func (n *number[T]) refusal() error { return n.refused }

func (n *number[T]) String() string {
	if n.p == nil { // package flag calls String on a zero value
		return ""
	}
	return n.format(*n.p)
}
