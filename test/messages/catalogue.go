package main

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// entry explains one sentence.
type entry struct {
	text string
	file string // where it is
	line int
	when string
	do   string // empty: the sentence says it
	test string // empty: any that quotes the sentence
	why  string // why nobody is shown it; only in unshown.txt
}

const unshown = "unshown.txt"

// readEntries reads the files of a folder.
func readEntries(folder string) (all []*entry, err error) {
	names, err := filepath.Glob(filepath.Join(folder, "*.txt"))
	if err != nil {
		return nil, fmt.Errorf("list explanations: %w", err)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("read explanations: %w", err)
		}
		more, err := parseEntries(filepath.Base(name), string(text))
		if err != nil {
			return nil, err
		}
		all = append(all, more...)
	}

	return all, nil
}

// parseEntries reads entries: a line with the sentence as the table has it, and below it, behind a tab each, what
// explains it:
//
//	it is shutting down
//		when: the relay restarts
//		do: nothing; the program tries again by itself
//		test: signaling TestUnreachableRelayIsExplained
//
// A line that begins with # is a comment.
func parseEntries(file, text string) (all []*entry, err error) {
	lines := bufio.NewScanner(strings.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimRight(lines.Text(), " ")
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case !strings.HasPrefix(line, "\t"):
			all = append(all, &entry{text: line, file: file, line: n})
		case len(all) == 0:
			return nil, fmt.Errorf("read explanations: %s:%d: nothing is explained here", file, n)
		default:
			if err := all[len(all)-1].set(strings.TrimSpace(line)); err != nil {
				return nil, fmt.Errorf("read explanations: %s:%d: %w", file, n, err)
			}
		}
	}

	return all, lines.Err()
}

func (e *entry) set(line string) error {
	name, value, _ := strings.Cut(line, ": ")
	field := map[string]*string{"when": &e.when, "do": &e.do, "test": &e.test, "why": &e.why}[name]
	if field == nil || value == "" {
		return fmt.Errorf("%q: want when, do, test or why, a colon and words", line)
	}
	if *field != "" {
		return fmt.Errorf("%q: said twice", name)
	}

	*field = value

	return nil
}
