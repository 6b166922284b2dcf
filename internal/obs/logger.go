package obs

import (
	"fmt"
	"io"
	"log/slog"
	"regexp"
	"strings"
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

// NewLogger returns a logger that writes to w what is of level or above, redacted.
func NewLogger(w io.Writer, f Format, level slog.Leveler) *slog.Logger {
	options := &slog.HandlerOptions{Level: level, ReplaceAttr: redactAttr}
	if f == JSON {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

const redacted = "redacted"

// secretNames are attribute names whose values are never written.
var secretNames = map[string]bool{
	"key": true, "secret": true, "seed": true, "ticket": true, "password": true, "credential": true,
	"sdp": true, "candidate": true, "envelope": true, "body": true, "code": true, "uri": true,
}

func redactAttr(_ []string, a slog.Attr) slog.Attr {
	if secretNames[strings.ToLower(a.Key)] {
		return slog.String(a.Key, redacted)
	}
	switch v := a.Value.Resolve(); v.Kind() {
	case slog.KindString:
		return slog.String(a.Key, Redact(v.String()))
	case slog.KindAny:
		switch v := v.Any().(type) {
		case []byte:
			return slog.String(a.Key, fmt.Sprintf("%s (%d bytes)", redacted, len(v)))
		case error:
			return slog.String(a.Key, Redact(v.Error()))
		case *slog.Source:
			return a
		default:
			return slog.String(a.Key, Redact(fmt.Sprint(v)))
		}
	}
	return a
}

var (
	pairingLink = regexp.MustCompile(`/pair#[^\s"']*`)
	userInfo    = regexp.MustCompile(`://[^/\s"'@]*@`)
)

// Redact takes the secret part of pairing links, and names and passwords in URLs, out of a text.
func Redact(s string) string {
	return userInfo.ReplaceAllString(pairingLink.ReplaceAllString(s, "/pair#"+redacted), "://"+redacted+"@")
}
