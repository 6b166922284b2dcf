package session

import (
	"fmt"
	"log/slog"

	"github.com/pion/logging"
)

// loggers gives pion's parts our logger. What they say can name addresses, so none of it is above debug; what they say at
// debug can hold ICE passwords, so that is not written at all.
type loggers struct {
	log     *slog.Logger
	packets *packets
}

// NewLogger implements logging.LoggerFactory.
func (l loggers) NewLogger(scope string) logging.LeveledLogger {
	log := leveled{l.log.With("pion", scope)}
	if scope == "srtp" {
		return srtpLog{log, l.packets}
	}
	return log
}

type leveled struct{ log *slog.Logger }

func (l leveled) Trace(string)                   {}
func (l leveled) Tracef(string, ...any)          {}
func (l leveled) Debug(string)                   {}
func (l leveled) Debugf(string, ...any)          {}
func (l leveled) Info(msg string)                { l.log.Debug(msg) }
func (l leveled) Infof(format string, a ...any)  { l.log.Debug(fmt.Sprintf(format, a...)) }
func (l leveled) Warn(msg string)                { l.log.Debug(msg) }
func (l leveled) Warnf(format string, a ...any)  { l.log.Debug(fmt.Sprintf(format, a...)) }
func (l leveled) Error(msg string)               { l.log.Debug(msg) }
func (l leveled) Errorf(format string, a ...any) { l.log.Debug(fmt.Sprintf(format, a...)) }
