package main

import (
	"fmt"
	"strings"
)

const head = `# Messages

Everything that Peephole says to a person: who says it, when, what to do, and a test that brings it
about. "…" marks what is filled in. Where "What to do" is empty, the message says it itself.

This page is made by ` + "`make messages`" + ` from the code and from test/messages/explained; do not
edit it. ` + "`make check`" + ` fails if the page is out of date, if a sentence is not explained, or
if no test brings one about.

The page's static text, such as the names of buttons, has no test of its own. Not in this table:
flags, which -h explains; debug lines; and errors that only say where another one happened ("open
input cam: the camera does not answer").
`

// speakers are those who say something, in the order of the table.
var speakers = []struct{ name, title string }{
	{saysPage, "the page"},
	{saysViewer, "the viewer in a terminal"},
	{saysCamera, "the camera"},
	{saysRelay, "the relay"},
	{saysDoctor, "viewer doctor and relay doctor"},
}

// table returns the page with all rows.
func table(rows []row) string {
	bySpeakers := map[string][]row{}
	var order []string
	for _, s := range speakers {
		for _, r := range rows {
			who := strings.Join(r.saidBy(), " ")
			if !strings.HasPrefix(who, s.name) {
				continue
			}
			if bySpeakers[who] == nil {
				order = append(order, who)
			}
			bySpeakers[who] = append(bySpeakers[who], r)
		}
	}

	var b strings.Builder
	b.WriteString(head)
	for _, who := range order {
		fmt.Fprintf(&b, "\n## Said by %s\n\n| Message | When | What to do | Test |\n|---|---|---|---|\n", titles(who))
		for _, r := range bySpeakers[who] {
			fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", cell(r.sentence.text), cell(r.when), cell(r.do), cell(r.test))
		}
	}

	return b.String()
}

func titles(who string) string {
	var names []string
	for _, s := range speakers {
		if strings.Contains(who, s.name) {
			names = append(names, s.title)
		}
	}

	if n := len(names); n > 1 {
		return strings.Join(names[:n-1], ", ") + " and " + names[n-1]
	}
	return names[0]
}

// cell escapes a text for Markdown.
func cell(s string) string {
	return strings.NewReplacer("|", `\|`, "<", "&lt;", "*", `\*`, "_", `\_`, "`", "\\`").Replace(s)
}
