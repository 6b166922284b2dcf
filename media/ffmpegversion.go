package media

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// oldestFFmpeg is the first version that has the options used here.
const oldestFFmpeg = 5

// versionLine matches the first line of ffmpeg -version. Builds between releases have no such number and are new
// enough.
var versionLine = regexp.MustCompile(`^ffmpeg version n?([0-9]{1,3})\.([0-9]{1,3})`)

// tooOld returns an error if the program is too old an ffmpeg. It is called only after ffmpeg has failed.
func (f *ffmpeg) tooOld(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	var out strings.Builder
	cmd := exec.CommandContext(ctx, f.path, "-version")
	cmd.Stdout, cmd.WaitDelay = &out, time.Second
	process, err := f.start(ctx, cmd)
	if err != nil || process.Wait() != nil {
		return nil
	}

	m := versionLine.FindStringSubmatch(out.String())
	if m == nil {
		return nil
	}
	if major, _ := strconv.Atoi(m[1]); major < oldestFFmpeg {
		return fmt.Errorf("ffmpeg %s.%s is too old: install version %d.0 or newer", m[1], m[2], oldestFFmpeg)
	}
	return nil
}
