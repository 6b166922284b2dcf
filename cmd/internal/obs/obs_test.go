package obs

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestLoggerRedacts(t *testing.T) {
	const canary = "CANARY"
	for _, f := range []Format{Text, JSON} {
		for name, log := range map[string]func(*slog.Logger){
			"secret's name": func(l *slog.Logger) { l.Error("x", "ticket", canary) },
			"in a group":    func(l *slog.Logger) { l.WithGroup("g").Error("x", "SDP", canary) },
			"bytes":         func(l *slog.Logger) { l.Error("x", "value", []byte(canary)) },
			"pairing link":  func(l *slog.Logger) { l.Error("x", "link", "https://relay.example/pair#"+canary) },
			"in an error": func(l *slog.Logger) {
				l.Error("x", "err", errors.New("open rtsp://admin:"+canary+"@cam/1"))
			},
			"behind escapes": func(l *slog.Logger) { l.Error("x", "path", "/pair%23"+canary) },
			"odd password": func(l *slog.Logger) {
				l.Error("x", "err", errors.New("open rtsp://u:p@"+canary+"/#?@h"))
			},
			"in a later group": func(l *slog.Logger) { l.Error("x", slog.Group("g", "url", "admin:"+canary+"@h")) },
			"in a With":        func(l *slog.Logger) { l.With("q", "?password="+canary).Error("x") },
			"in a message":     func(l *slog.Logger) { l.Error("scan https://relay.example/pair#" + canary) },
			"in a struct": func(l *slog.Logger) {
				l.Error("x", "v", struct{ U string }{"rtsp://u:" + canary + "@h"})
			},
		} {
			t.Run(string(f)+"/"+name, func(t *testing.T) {
				var out bytes.Buffer
				log(NewLogger(&out, f, slog.LevelInfo))
				if s := out.String(); strings.Contains(s, canary) || s == "" {
					t.Errorf("logged %q", s)
				}
			})
		}
	}
}

// Text that somebody else chose cannot control the terminal that shows the log, wherever in a line it is.
func TestLoggerRemovesTerminalControls(t *testing.T) {
	const bad = "porch\x1b[2J\u202e"
	for _, f := range []Format{Text, JSON} {
		var out bytes.Buffer
		log := NewLogger(&out, f, slog.LevelInfo)
		log.Info(bad, "name", bad, "err", errors.New(bad), "v", struct{ Name string }{bad},
			slog.Group("g", "name", bad))
		if s := out.String(); strings.ContainsAny(s, "\x1b\u202e") || strings.Contains(s, "u001b") ||
			strings.Count(s, "porch?[2J?") != 5 {
			t.Errorf("%s: logged %q", f, s)
		}
	}
}

func TestLoggerKeepsTheRest(t *testing.T) {
	var out bytes.Buffer
	log := NewLogger(&out, Text, slog.LevelInfo)
	log.Debug("hidden")
	log.Info("connected", "host", "relay.example", "n", 3, "err", errors.New("refused"))
	for _, want := range []string{"msg=connected", "host=relay.example", "n=3", "err=refused", "level=INFO"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q lacks %q", out.String(), want)
		}
	}

	if strings.Contains(out.String(), "hidden") {
		t.Error("a debug line at level info")
	}
}

func TestFormatFlagTakesTextOrJSON(t *testing.T) {
	var f Format
	if err := f.Set("json"); err != nil || f != JSON {
		t.Errorf("set json: %q, %v", f, err)
	}
	if err := f.Set("xml"); err == nil {
		t.Error("xml was accepted")
	}
}

func get(t *testing.T, h http.Handler) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	return w.Code, w.Body.String()
}

func TestMetricsAreReadWhenAsked(t *testing.T) {
	m, n := NewMetrics(), 1.0
	m.Counter("posted_total", "messages posted", Labels{"kind": "a"}, func() float64 { return n })
	m.Gauge("mailboxes", "mailboxes now", nil, func() float64 { return 7 })
	n = 42
	_, body := get(t, m)
	for _, want := range []string{`posted_total{kind="a"} 42`, "mailboxes 7", "go_goroutines",
		"# HELP mailboxes mailboxes now"} {
		if !strings.Contains(body, want) {
			t.Errorf("no %q in the metrics", want)
		}
	}
}

func TestReadyzReportsEachPart(t *testing.T) {
	if code, body := get(t, Healthz()); code != http.StatusOK || body != "ok\n" {
		t.Errorf("healthz: %d %q", code, body)
	}
	var broken error
	h := Readyz(Check{"signaling", func(context.Context) error {
		return nil
	}}, Check{"turn", func(context.Context) error { return broken }})
	if code, body := get(t, h); code != http.StatusOK || body != "signaling: ok\nturn: ok\n" {
		t.Errorf("readyz: %d %q", code, body)
	}

	broken = errors.New("no answer")
	if code, body := get(t, h); code != http.StatusServiceUnavailable || body != "signaling: ok\nturn: no answer\n" {
		t.Errorf("readyz: %d %q", code, body)
	}
}
