package xdp

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// moderation holds back an interface's interrupts: after packets have come, the kernel looks again a little later,
// rather than being woken for the next one (/sys/class/net/*/napi_defer_hard_irqs and gro_flush_timeout, Linux 5.8). A
// packet after a pause is handled at once. The program is so quick that it would otherwise be done with each packet
// before the next came, and almost all of the time would go into waking up.
//
// It is the files that were changed, all from 0. They are kept open, since a path may lead elsewhere on another thread.
type moderation []*os.File

// moderated is what is written. 20 µs is what network cards wait by themselves, and the most that it adds to a packet's
// way.
var moderated = [...]struct{ name, value string }{
	{"gro_flush_timeout", "20000"}, // nanoseconds
	{"napi_defer_hard_irqs", "1"},  // how often it looks in vain before interrupts are on again
}

// moderate holds back the interrupts of an interface, unless somebody has already set that. On an error everything is
// as it was.
func moderate(device string) (moderation, error) {
	var m moderation
	for _, s := range moderated {
		file, err := os.OpenFile(filepath.Join("/sys/class/net", device, s.name), os.O_RDWR, 0)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("hold back interrupts: %w", err), m.end())
		}

		text := make([]byte, 32)
		n, err := file.Read(text)
		if err != nil || strings.TrimSpace(string(text[:n])) != "0" {
			return nil, errors.Join(err, file.Close(), m.end())
		}
		if _, err := file.WriteAt([]byte(s.value), 0); err != nil {
			return nil, errors.Join(fmt.Errorf("hold back interrupts: %w", err), file.Close(), m.end())
		}
		m = append(m, file)
	}
	return m, nil
}

// end sets everything back, the last first.
func (m moderation) end() error {
	var errs []error
	for i := len(m) - 1; i >= 0; i-- {
		_, err := m[i].WriteAt([]byte("0"), 0)
		errs = append(errs, err, m[i].Close())
	}
	return errors.Join(errs...)
}
