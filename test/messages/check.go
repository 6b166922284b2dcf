package main

import (
	"fmt"
	"strings"
)

// row is a sentence with everything that the table says about it.
type row struct {
	*sentence
	*entry
	test string
}

// judge matches sentences, explanations and tests. It returns the rows of the table, in the order of the explanations,
// and what is wrong.
func judge(all []*sentence, entries []*entry, tests []trial) (rows []row, wrong []string) {
	byText := map[string]*sentence{}
	for _, s := range all {
		byText[s.text] = s
	}
	byName := map[string]trial{}
	for _, t := range tests {
		byName[t.name] = t
	}

	found := evidence(all, tests)

	explained := map[string]*entry{}
	for _, e := range entries {
		at := fmt.Sprintf("explained/%s:%d", e.file, e.line)
		s := byText[e.text]
		switch {
		case explained[e.text] != nil:
			wrong = append(wrong, fmt.Sprintf("%s: %q is explained twice", at, e.text))
			continue
		case s == nil:
			wrong = append(wrong,
				fmt.Sprintf("%s: nothing says %q any more: remove it, or explain what has taken its place", at, e.text))
		case e.file == unshown && e.why == "":
			wrong = append(wrong, fmt.Sprintf("%s: %q: say why nobody is shown it", at, e.text))
		case e.file != unshown && e.when == "":
			wrong = append(wrong, fmt.Sprintf("%s: %q: say when it is said", at, e.text))
		}

		explained[e.text] = e
		if s == nil || e.file == unshown {
			continue
		}

		r := row{s, e, found[s]}
		if e.test != "" {
			r.test = e.test
			if complaint := e.proven(byName); complaint != "" {
				wrong = append(wrong, fmt.Sprintf("%s: %q: %s", at, e.text, complaint))
			}
		}

		if r.test == "" && !s.standing() {
			wrong = append(wrong,
				fmt.Sprintf("%s: no test brings %q about: write one that quotes it, or name one with test:", at,
					e.text))
		}
		rows = append(rows, r)
	}

	for _, s := range all {
		if explained[s.text] == nil {
			p := s.places[0]
			wrong = append(wrong,
				fmt.Sprintf("%s:%d: %q is not explained: add it to a file in test/messages/explained", p.file, p.line,
					s.text))
		}
	}

	return rows, wrong
}

// proven returns what is wrong with the test that an entry names, if anything: the test must exist and quote the
// sentence, if only with words that other sentences have too.
func (e *entry) proven(byName map[string]trial) string {
	t, ok := byName[e.test]
	if !ok {
		return fmt.Sprintf("there is no test %q", e.test)
	}
	least := 0
	for _, y := range runs(e.text) {
		least = max(least, min(len(y), minNamed))
	}

	for _, text := range t.texts {
		for _, y := range runs(e.text) {
			for _, x := range runs(pieces(text)) {
				if len(x) >= least && strings.Contains(y, x) || len(y) >= least && strings.Contains(x, y) {
					return ""
				}
			}
		}
	}

	return fmt.Sprintf("%s quotes nothing of it", e.test)
}

// minNamed is how much of a sentence a test must quote if the sentence's entry names it, in bytes.
const minNamed = 6

// standing reports whether a sentence is always on the page.
func (s *sentence) standing() bool {
	for _, p := range s.places {
		if !strings.HasSuffix(p.file, ".html") {
			return false
		}
	}
	return true
}
