package obs

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"
)

// lossHandler counts lines that could not be written, for example on a full disk, and reports the number once it can
// write again.
type lossHandler struct {
	slog.Handler
	plain slog.Handler // without attributes
	lost  *atomic.Int64
}

func newLossHandler(h slog.Handler) lossHandler { return lossHandler{h, h, new(atomic.Int64)} }

// Handle implements slog.Handler.
func (h lossHandler) Handle(ctx context.Context, r slog.Record) error {
	if err := h.Handler.Handle(ctx, r); err != nil {
		h.lost.Add(1)
		return err
	}
	n := h.lost.Swap(0)
	if n == 0 {
		return nil
	}

	report := slog.NewRecord(time.Now(), slog.LevelWarn, "log lines could not be written and are lost", 0)
	report.AddAttrs(slog.Int64("lines", n))
	if err := h.plain.Handle(ctx, report); err != nil {
		h.lost.Add(n)
		return err
	}
	return nil
}

// WithAttrs implements slog.Handler.
func (h lossHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return lossHandler{h.Handler.WithAttrs(attrs), h.plain, h.lost}
}

// WithGroup implements slog.Handler.
func (h lossHandler) WithGroup(name string) slog.Handler {
	return lossHandler{h.Handler.WithGroup(name), h.plain, h.lost}
}
