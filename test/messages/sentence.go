package main

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
)

// gap replaces, in a sentence, what is filled in at run time.
const gap = "…"

// sentence is one thing that Peephole says to a person, wherever in the code.
type sentence struct {
	text   string
	runs   []stretch
	places []place
}

// stretch is a part of a text without gaps.
type stretch struct {
	text  string
	words int
}

// stretches returns the runs of a text, with their words counted.
func stretches(text string) (out []stretch) {
	for _, r := range runs(text) {
		out = append(out, stretch{r, words(r)})
	}
	return out
}

// place is where a sentence is in the code.
type place struct {
	file string // relative to the module's root
	line int
	name string // of the variable or the field that holds it; tests may name that
}

var (
	verb   = regexp.MustCompile(`%[-+# 0-9.*]*(?:\[[0-9]+\])?[a-zA-Z%]`)
	letter = regexp.MustCompile(`[A-Za-z’'-]*[A-Za-z]{2}[A-Za-z’'-]*`)
	spaces = regexp.MustCompile(`\s+`)
	gaps   = regexp.MustCompile(`…(?:…)+`)
)

// tidy returns a text as the table shows it: in one line, with a gap for each verb of fmt if it is a format.
func tidy(text string, format bool) string {
	if format {
		text = verb.ReplaceAllStringFunc(text, func(v string) string {
			if strings.HasSuffix(v, "%") {
				return "%"
			}
			return gap
		})
	}

	text = gaps.ReplaceAllString(text, gap)
	return strings.TrimSpace(spaces.ReplaceAllString(text, " "))
}

// words counts the words of a text.
func words(text string) int { return len(letter.FindAllString(text, -1)) }

// runs returns the stretches of a text between its gaps, without spaces and punctuation around them.
func runs(text string) (out []string) {
	for r := range strings.SplitSeq(text, gap) {
		if r = strings.Trim(r, " .,:;"); r != "" {
			out = append(out, r)
		}
	}
	return out
}

// collect makes one sentence of all places that say the same.
func collect(found []found) []*sentence {
	byText := map[string]*sentence{}
	for _, f := range found {
		s := byText[f.text]
		if s == nil {
			s = &sentence{text: f.text, runs: stretches(f.text)}
			byText[f.text] = s
		}
		s.places = append(s.places, f.place)
	}

	var all []*sentence
	for _, s := range byText {
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b *sentence) int { return cmp.Compare(a.text, b.text) })
	return all
}

// found is a sentence at one place.
type found struct {
	text string
	place
}
