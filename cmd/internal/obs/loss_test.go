package obs

import (
	"bytes"
	"log/slog"
	"strings"
	"syscall"
	"testing"
)

// fullDisk refuses writes while it is full.
type fullDisk struct {
	bytes.Buffer
	full bool
}

func (d *fullDisk) Write(p []byte) (int, error) {
	if d.full {
		return 0, syscall.ENOSPC
	}
	return d.Buffer.Write(p)
}

// Lines lost to a full disk are counted, and reported once there is room, whichever of several related loggers writes
// first.
func TestLostLinesAreReported(t *testing.T) {
	for _, format := range []Format{Text, JSON} {
		var d fullDisk
		log := NewLogger(&d, format, slog.LevelInfo)
		part := log.With("part", "turn").WithGroup("g")
		log.Info("before")
		d.full = true
		log.Info("first")
		part.Info("second")
		log.Debug("not written anyway")
		d.full = false
		part.Info("after")
		log.Info("later")

		lines := strings.Split(strings.TrimSpace(d.String()), "\n")
		if len(lines) != 4 || !strings.Contains(lines[2], "log lines could not be written and are lost") ||
			strings.Contains(lines[2], "turn") {
			t.Fatalf("%s:\n%s", format, d.String())
		}
		if want := map[Format]string{Text: "lines=2", JSON: `"lines":2`}[format]; !strings.Contains(lines[2], want) {
			t.Errorf("%s: no %s in %s", format, want, lines[2])
		}
	}
}
