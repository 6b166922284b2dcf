package session

import (
	"fmt"
	"log/slog"
	"strings"

	"github.com/pion/logging"
)

// loggers gives pion's parts our logger. Their messages can hold addresses, so all are logged at debug level. Their own
// debug messages can hold ICE passwords, so those are not logged at all.
type loggers struct {
	log     *slog.Logger
	packets *foreignPackets
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

// srtpLog is the logger of pion/srtp. It counts foreign packets.
type srtpLog struct {
	leveled
	packets *foreignPackets
}

var _ logging.LeveledLogger = srtpLog{}

func (l srtpLog) Info(msg string) {
	if strings.HasPrefix(msg, unverified) {
		l.packets.count.Add(1)
		return
	}
	l.leveled.Info(msg)
}
