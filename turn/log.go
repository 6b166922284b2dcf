package turn

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/pion/logging"
)

// levelTrace is below slog's debug level, for pion's most talkative lines.
const levelTrace = slog.LevelDebug - 4

// pionLog hands pion's lines to slog, all at debug level or below: pion writes addresses into lines of every level, and
// calls a client's misbehaviour an error. Once done is closed, it writes nothing. By then pion's last goroutine of a
// transport, which nothing can wait for, has nothing left to do but log that it ends.
type pionLog struct {
	log  *slog.Logger
	done <-chan struct{}
}

func (l pionLog) NewLogger(scope string) logging.LeveledLogger {
	return pionLog{l.log.With("pion", scope), l.done}
}

func (l pionLog) write(level slog.Level, format string, args ...any) {
	if !l.log.Enabled(context.Background(), level) {
		return
	}
	select {
	case <-l.done:
		return
	default:
	}

	if len(args) > 0 {
		format = fmt.Sprintf(format, args...)
	}
	l.log.Log(context.Background(), level, format)
}

func (l pionLog) Trace(msg string)             { l.write(levelTrace, msg) }
func (l pionLog) Tracef(f string, args ...any) { l.write(levelTrace, f, args...) }
func (l pionLog) Debug(msg string)             { l.write(slog.LevelDebug, msg) }
func (l pionLog) Debugf(f string, args ...any) { l.write(slog.LevelDebug, f, args...) }
func (l pionLog) Info(msg string)              { l.write(slog.LevelDebug, msg) }
func (l pionLog) Infof(f string, args ...any)  { l.write(slog.LevelDebug, f, args...) }
func (l pionLog) Warn(msg string)              { l.write(slog.LevelDebug, msg) }
func (l pionLog) Warnf(f string, args ...any)  { l.write(slog.LevelDebug, f, args...) }
func (l pionLog) Error(msg string)             { l.write(slog.LevelDebug, msg) }
func (l pionLog) Errorf(f string, args ...any) { l.write(slog.LevelDebug, f, args...) }
