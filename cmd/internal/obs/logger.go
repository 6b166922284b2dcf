package obs

import (
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/peephole-cam/peephole/printable"
	"github.com/peephole-cam/peephole/redact"
)

// Format is how log lines look.
type Format string

// The formats.
const (
	Text Format = "text"
	JSON Format = "json"
)

// Set implements flag.Value.
func (f *Format) Set(s string) error {
	switch Format(s) {
	case Text, JSON:
		*f = Format(s)
		return nil
	}
	return fmt.Errorf("want %q or %q", Text, JSON)
}

func (f Format) String() string { return string(f) }

// NewLogger returns a logger that writes redacted records of at least the given level to w.
func NewLogger(w io.Writer, f Format, level slog.Leveler) *slog.Logger {
	options := &slog.HandlerOptions{Level: level, ReplaceAttr: redactAttr}
	if f == JSON {
		return slog.New(newLossHandler(slog.NewJSONHandler(w, options)))
	}
	return slog.New(newLossHandler(slog.NewTextHandler(w, options)))
}

// secretNames are the names of attributes whose values are never written.
var secretNames = map[string]bool{
	"key": true, "secret": true, "seed": true, "ticket": true, "password": true, "credential": true,
	"sdp": true, "candidate": true, "envelope": true, "body": true, "code": true, "uri": true,
}

func redactAttr(_ []string, a slog.Attr) slog.Attr {
	clean := func(s string) slog.Attr { return slog.String(a.Key, printable.Lines(redact.Text(s))) }
	if secretNames[strings.ToLower(a.Key)] {
		return slog.String(a.Key, redact.Mark)
	}
	switch v := a.Value.Resolve(); v.Kind() {
	case slog.KindString:
		return clean(v.String())
	case slog.KindAny:
		switch v := v.Any().(type) {
		case []byte:
			return slog.String(a.Key, fmt.Sprintf("%s (%d bytes)", redact.Mark, len(v)))
		case error:
			return clean(v.Error())
		case *slog.Source:
			return a
		default:
			return clean(fmt.Sprint(v))
		}
	}

	return a
}
