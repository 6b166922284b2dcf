package obs

import (
	"cmp"
	"errors"
	"flag"
	"io"
	"log/slog"
	"strings"
)

// LogFlags are the flags that set how a command logs.
type LogFlags struct {
	level  slog.Level
	format Format
}

// Register adds the flags to fs. A flag that has been set already keeps its value.
func (f *LogFlags) Register(fs *flag.FlagSet) {
	f.format = cmp.Or(f.format, Text)
	fs.Var(levelValue{&f.level}, "log-level",
		"`level` of the log: debug, info, warn or error; debug may show addresses, but never keys")
	fs.Var(&f.format, "log-format", "`format` of the log: text or json")
}

// Logger returns the logger that the flags ask for.
func (f *LogFlags) Logger(w io.Writer) *slog.Logger { return NewLogger(w, f.format, f.level) }

// levelValue implements flag.Value.
type levelValue struct{ p *slog.Level }

func (v levelValue) Set(text string) error {
	if v.p.UnmarshalText([]byte(text)) != nil {
		return errors.New("want debug, info, warn or error")
	}
	return nil
}

func (v levelValue) String() string {
	if v.p == nil { // package flag calls String on a zero value
		return ""
	}
	return strings.ToLower(v.p.String())
}
