package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/session"
	"github.com/peephole-cam/peephole/test/evilcloud"
)

// clockRow is what happens with one wrong clock.
type clockRow struct {
	whose string
	off   time.Duration
	name  string // of off

	picture string
	told    string // to the person who watches
}

const year = 365 * 24 * time.Hour

// clockRows returns a machine that is right, and each machine's clock off by ten minutes, a day and thirty years, both
// ways.
func clockRows() []*clockRow {
	rows := []*clockRow{{whose: "nobody's", name: "right"}}
	for _, whose := range []string{"camera", "viewer", "relay"} {
		for _, by := range []struct {
			name string
			off  time.Duration
		}{{"ten minutes", 10 * time.Minute}, {"a day", 24 * time.Hour}, {"thirty years", 30 * year}} {
			rows = append(rows,
				&clockRow{whose: whose, off: by.off, name: by.name + " ahead"},
				&clockRow{whose: whose, off: -by.off, name: by.name + " behind"})
		}
	}

	return rows
}

// aDate matches the part of a sentence that changes from day to day.
var aDate = regexp.MustCompile(`\d+ \w+ \d{4}, \d\d:\d\d UTC`)

// run pairs and watches while one clock is wrong.
func (r *clockRow) run(t *testing.T) {
	at := func(whose string) time.Time {
		if whose == r.whose {
			return time.Now().Add(r.off)
		}
		return time.Now()
	}

	relay := startCloud(t, evilcloud.Config{Now: func() time.Time { return at("relay") }})
	h := runCameraBy(t, clockFrom(t, at("camera")), relay.URLs()[0], "front door", 0,
		filepath.Join(t.TempDir(), "camera"))
	defer h.stop()
	v := newViewerBy(t, clockFrom(t, at("viewer")))
	pairWith(t, v, h)

	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	s := &seen{mark: h.Mark, enough: 10, done: cancel}
	var mu sync.Mutex
	told := make(map[string]bool)
	w := s.watch(false)

	w.OnStatus = func(status session.Status) {
		mu.Lock()
		defer mu.Unlock()
		if strings.Contains(status.Text, "clock") { // a busy machine may have other things to say
			told[aDate.ReplaceAllString(status.Text, "…")] = true
		}
	}

	err := v.Watch(ctx, "front door", w)
	switch {
	case err != nil && !errors.Is(err, context.Canceled):
		r.picture = "none: " + err.Error()
	case s.frames < 10:
		r.picture = "none"
	case s.live == s.frames:
		r.picture = "live"
	default:
		r.picture = fmt.Sprintf("%d of %d live", s.live, s.frames)
	}

	if s.foreign > 0 || s.rejected > 0 {
		t.Errorf("foreign %d, rejected %d", s.foreign, s.rejected)
	}

	mu.Lock()
	defer mu.Unlock()
	var sentences []string
	for text := range told {
		sentences = append(sentences, text)
	}
	r.told = strings.Join(sentences, " ")
}

// clocksHead is the beginning of doc/clocks.md.
const clocksHead = `# Wrong clocks

What happens when the clock of one of the three machines is wrong and the other two are right:
viewer and camera pair anew, and the viewer watches. No clock keeps anybody from a camera. Made by
` +
	"`CLOCKS=write go test ./test/e2e -run ClocksOfThreeMachines`" + `,
which otherwise compares this page with what happens.

| whose clock | shows | picture | the viewer says |
|---|---|---|---|
`

// clocksFoot is the end of doc/clocks.md.
const clocksFoot = `
- If the clocks of a viewer and a camera differ by more than three minutes, every session needs one
  more round trip to start. The camera's log warns too, at most once a minute.
- The relay's clock decides which day's mailbox both ends use, and whether tickets and certificates
  are valid; nothing else depends on it.
- Each device judges certificates by its own clock or, if that shows an earlier time, by the latest
  time it knew to be right. So a camera that was in use before, and boots in 1970, reaches its
  relay. One that was never in use says
  ` +
	"`its certificate is not valid yet by this machine's clock (…): set the clock if it is wrong`" + `.
`

// doc/clocks.md says what really happens.
func TestClocksOfThreeMachines(t *testing.T) {
	t.Parallel()
	rows := clockRows()
	t.Run("rows", func(t *testing.T) {
		for _, r := range rows {
			t.Run(r.whose+" "+r.name, func(t *testing.T) {
				t.Parallel()
				r.run(t)
			})
		}
	})

	var page strings.Builder
	page.WriteString(clocksHead)
	for _, r := range rows {
		told := r.told
		if told == "" {
			told = "nothing"
		}
		fmt.Fprintf(&page, "| %s | %s | %s | %s |\n", r.whose, r.name, r.picture, told)
		if r.picture != "live" {
			t.Errorf("%s %s: the picture is %s", r.whose, r.name, r.picture)
		}
	}

	page.WriteString(clocksFoot)

	file := filepath.Join("..", "..", "doc", "clocks.md")
	if os.Getenv("CLOCKS") == "write" {
		if err := os.WriteFile(file, []byte(page.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}

	kept, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(kept) != page.String() {
		t.Errorf("doc/clocks.md says something else; this happens:\n%s", page.String())
	}
}
