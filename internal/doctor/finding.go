package doctor

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
)

// Verdict is what a check came to.
type Verdict string

// The verdicts.
const (
	OK      Verdict = "ok"
	Bad     Verdict = "bad"
	Unknown Verdict = "unknown" // it could not be found out
)

// Finding is what one check found.
type Finding struct {
	Check     string   `json:"check"`           // what was tested: "udp"; scripts rely on it
	Relay     string   `json:"relay,omitempty"` // whose: its name, or a number where it has none; empty: not one relay's
	Verdict   Verdict  `json:"verdict"`
	Value     string   `json:"value,omitempty"` // what was found, for scripts: "symmetric", "1500"
	Text      string   `json:"text"`            // one sentence for a person: what it means, and what to change
	Addresses []string `json:"addresses,omitempty"`
}

// Report is what an examination found, in the order of the checks.
type Report struct {
	OK       bool      `json:"ok"` // nothing is bad
	Findings []Finding `json:"checks"`
}

func newReport(findings []Finding) Report {
	r := Report{OK: true, Findings: findings}
	for _, f := range findings {
		r.OK = r.OK && f.Verdict != Bad
	}
	return r
}

// BadError is what a command ends with when something is bad.
type BadError struct{ Bad, All int }

func (e BadError) Error() string {
	return fmt.Sprintf("%d of %d checks found something bad: do what their lines say", e.Bad, e.All)
}

// Write writes the report, a line for each finding or one JSON object. Errors: BadError when something is bad; what writing returned.
func (r Report) Write(to io.Writer, asJSON bool) error {
	if err := r.write(to, asJSON); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	if r.OK {
		return nil
	}
	e := BadError{All: len(r.Findings)}
	for _, f := range r.Findings {
		if f.Verdict == Bad {
			e.Bad++
		}
	}
	return e
}

func (r Report) write(to io.Writer, asJSON bool) error {
	if asJSON {
		encoder := json.NewEncoder(to)
		encoder.SetIndent("", "  ")
		return encoder.Encode(r)
	}
	table := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	for _, f := range r.Findings {
		what := f.Check
		if f.Relay != "" {
			what += " of " + f.Relay
		}
		text := f.Text
		for _, a := range f.Addresses {
			text += " [" + a + "]"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\n", f.Verdict, what, text)
	}
	return table.Flush()
}
