package obs

import (
	"flag"
	"fmt"
	"io"
	"log/slog"
)

// LogFlags say how a command logs.
type LogFlags struct {
	level  string
	format Format
}

// Register adds the flags to fs.
func (f *LogFlags) Register(fs *flag.FlagSet) {
	fs.StringVar(&f.level, "log-level", "info", "debug, info, warn or error; debug can name addresses, never keys")
	f.format = Text
	fs.Var(&f.format, "log-format", "text or json")
}

// Logger returns the logger that the flags ask for.
func (f *LogFlags) Logger(w io.Writer) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(f.level)); err != nil {
		return nil, fmt.Errorf("read -log-level %q: want debug, info, warn or error", f.level)
	}
	return NewLogger(w, f.format, level), nil
}
