package main

import (
	"fmt"
	"io"
	"math"
	"strings"
	"sync"
	"time"
)

const (
	// redrawEvery is how long a bar stays as it is, at least.
	redrawEvery = 200 * time.Millisecond
	// rateOver is over how long the rate of a transfer is measured.
	rateOver = 10 * time.Second
	// maxBarName bounds the name before a bar, in columns.
	maxBarName = 24
	// minBar and maxBar bound a bar, in columns, without its brackets.
	minBar, maxBar = 8, 40
)

// screen is a terminal on which a line can be cleared.
type screen interface {
	io.Writer
	Size() (columns, rows int)
}

// progress shows how far a transfer is: by a bar in the last line of a terminal, or else by one line at its start.
// Everything else that is written to the terminal meanwhile goes through Write, which clears the bar first.
type progress struct {
	name   string // of what is transferred, in ASCII
	stderr io.Writer
	screen screen // nil: no terminal

	// mu guards what follows, and every write.
	mu         sync.Mutex
	done, size int64 // bytes
	known      bool  // the size is known
	samples    []sample
	drawn      time.Time
	shown      bool // the last line of the terminal is a bar
}

// sample is how many bytes were there at one time.
type sample struct {
	at   time.Time
	done int64
}

// Write clears the bar and writes other text in its place. A later report draws the bar again.
func (p *progress) Write(text []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
	return p.stderr.Write(text)
}

// report notes how far the transfer is, in bytes.
func (p *progress) report(done, size int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.known && p.screen == nil {
		fmt.Fprintf(p.stderr, "getting %s (%s)\n", p.name, formatBytes(size))
	}
	if done < p.done || size != p.size { // it began anew
		p.samples = nil
	}
	p.known, p.done, p.size = true, done, size

	now := time.Now()
	p.samples = append(p.samples, sample{now, done})
	for len(p.samples) > 2 && now.Sub(p.samples[1].at) >= rateOver {
		p.samples = p.samples[1:]
	}
	if p.screen == nil || now.Sub(p.drawn) < redrawEvery {
		return
	}
	columns, _ := p.screen.Size()
	fmt.Fprintf(p.screen, "\r%s\x1b[K", p.line(columns-1))
	p.drawn, p.shown = now, true
}

// pause forgets how fast the transfer was, and clears the bar: the connection broke.
func (p *progress) pause() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.samples = nil
	p.clear()
}

// stop clears the bar.
func (p *progress) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
}

// clear clears the bar. mu must be held.
func (p *progress) clear() {
	if p.shown {
		fmt.Fprint(p.screen, "\r\x1b[K")
		p.shown = false
	}
}

// arrived returns how many bytes are there, and in words. mu must not be held.
func (p *progress) arrived() (done int64, text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.done, formatShare(p.done, p.size)
}

// line returns a line of at most that many columns. It takes what still fits, in this order: the percentage, the bytes,
// the bar, the name, the rate, the time left. mu must be held.
func (p *progress) line(columns int) string {
	share := 1.0
	if p.size > 0 {
		share = float64(p.done) / float64(p.size)
	}
	room := columns
	fits := func(n int) bool {
		if n > room {
			return false
		}
		room -= n
		return true
	}

	percent := fmt.Sprintf("%3.0f%%", math.Floor(100*share)) // 100 % means all of it
	bytes, name, bar := "  "+formatShare(p.done, p.size), p.name+"  ", ""
	if len(p.name) > maxBarName {
		name = p.name[:maxBarName-3] + "...  "
	}
	if !fits(len(percent)) {
		return ""
	}
	if !fits(len(bytes)) {
		bytes = ""
	}
	hasBar := fits(len("[]  ") + minBar)
	if !fits(len(name)) {
		name = ""
	}

	speed := ""
	for _, figure := range p.speed() {
		if !fits(2 + len(figure)) {
			break
		}
		speed += "  " + figure
	}

	if hasBar {
		width := min(minBar+room, maxBar)
		full := int(share * float64(width))
		bar = "[" + strings.Repeat("#", full) + strings.Repeat("-", width-full) + "]  "
	}
	return name + bar + percent + bytes + speed
}

// speed returns the rate of the transfer and how long it will still take, or nothing if that is not known. mu must be
// held.
func (p *progress) speed() []string {
	if len(p.samples) == 0 {
		return nil
	}
	first, last := p.samples[0], p.samples[len(p.samples)-1]
	took, came := last.at.Sub(first.at).Seconds(), float64(last.done-first.done)
	if took <= 0 || came <= 0 {
		return nil
	}

	rate := came / took // bytes per second
	return []string{formatBytes(int64(rate)) + "/s", formatLeft(float64(p.size-p.done) / rate)}
}

// formatBytes returns 900 bytes, 12 kB or 3.4 MB.
func formatBytes(n int64) string {
	switch {
	case n < 1e3:
		return fmt.Sprintf("%d bytes", n)
	case n < 1e6:
		return fmt.Sprintf("%d kB", n/1e3)
	}
	return fmt.Sprintf("%.1f MB", float64(n)/1e6)
}

// formatShare returns 1.2 of 3.4 MB.
func formatShare(done, size int64) string {
	switch {
	case size < 1e3:
		return fmt.Sprintf("%d of %d bytes", done, size)
	case size < 1e6:
		return fmt.Sprintf("%d of %d kB", done/1e3, size/1e3)
	}
	return fmt.Sprintf("%.1f of %.1f MB", float64(done)/1e6, float64(size)/1e6)
}

// formatLeft returns 12 s left, 3 min left or 4 h 5 min left, rounded up.
func formatLeft(seconds float64) string {
	switch minutes := int(math.Ceil(seconds / 60)); {
	case seconds <= 60:
		return fmt.Sprintf("%.0f s left", math.Ceil(seconds))
	case minutes < 60:
		return fmt.Sprintf("%d min left", minutes)
	case minutes < 100*60:
		return fmt.Sprintf("%d h %d min left", minutes/60, minutes%60)
	}
	return "days left"
}
