package expiry

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"github.com/peephole-cam/peephole/crypto/identity"
)

const (
	fileName    = "clock"
	filePrefix  = "peephole-clock-"
	fileVersion = "1"
	timeFormat  = "2006-01-02T15:04:05.000Z"
)

var (
	// ErrFile is returned for a damaged clock file, or for one that is no clock file.
	ErrFile = errors.New("damaged clock file")
	// ErrNewer is returned for a clock file of a version this program does not know.
	ErrNewer = errors.New("clock file of a newer version: update this program")
)

// reading is what the machine's clock showed when it was last believed.
type reading struct {
	at    time.Time
	boot  string    // the machine's boot at that time
	began time.Time // the earliest time at which that boot can have begun
	// the earliest time that it can have been: what the machine has counted since its clock was last confirmed
	least time.Time
}

// floor returns the earliest time that the device goes by after this reading.
func (r reading) floor() time.Time {
	if floor := r.at.Add(-behind); floor.After(made) {
		return floor
	}
	return made
}

// start returns the earliest time at which a boot can have begun. Nobody knows how long the machine was off before.
func (r reading) start(boot string) time.Time {
	if boot == r.boot {
		return r.began
	}
	return r.least
}

// encode returns a reading as its file spells it: one line.
func (r reading) encode() []byte {
	shown, began, least := r.at.UTC().Format(timeFormat), r.began.UTC().Format(timeFormat),
		r.least.UTC().Format(timeFormat)
	return fmt.Appendf(nil, "%s%s %s %s %s %s\n", filePrefix, fileVersion, shown, r.boot, began, least)
}

// readFile returns the reading in a file, or the zero reading if there is no file.
func readFile(path string) (reading, error) {
	text, err := identity.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return reading{}, nil
	}
	if err != nil {
		return reading{}, fmt.Errorf("read clock file: %w", err)
	}

	r, err := parse(string(text))
	if err != nil {
		return reading{}, fmt.Errorf("read %s: %w", path, err)
	}
	return r, nil
}

// parse reads what encode wrote, and accepts no other spelling.
func parse(text string) (reading, error) {
	rest, ours := strings.CutPrefix(text, filePrefix)
	version, fields, _ := strings.Cut(rest, " ")
	if n, err := strconv.Atoi(version); ours && err == nil && n > 1 {
		return reading{}, ErrNewer
	}

	words := strings.Fields(fields)
	if len(words) != 4 || len(words[1]) > 64 || strings.Trim(words[1], "0123456789abcdef-") != "" {
		return reading{}, ErrFile
	}
	at, err := time.Parse(timeFormat, words[0])
	began, err2 := time.Parse(timeFormat, words[2])
	least, err3 := time.Parse(timeFormat, words[3])
	r := reading{at: at, boot: words[1], began: began, least: least}
	if errors.Join(err, err2, err3) != nil || at.Before(made) || string(r.encode()) != text {
		return reading{}, ErrFile
	}
	return r, nil
}
