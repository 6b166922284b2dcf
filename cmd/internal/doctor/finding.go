package doctor

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/peephole-cam/peephole/printable"
)

// Verdict is the result of a check.
type Verdict string

// The verdicts.
const (
	OK      Verdict = "ok"
	Bad     Verdict = "bad"
	Unknown Verdict = "unknown" // the check could not be made
)

// Finding is what one check found.
type Finding struct {
	Check     string   `json:"check"`            // what was tested: "udp"; scripts rely on it
	Relay     string   `json:"relay,omitempty"`  // which relay, by name or number; empty: it is not about one relay
	Camera    string   `json:"camera,omitempty"` // which camera, by name; empty: it is not about one camera
	Verdict   Verdict  `json:"verdict"`
	Value     string   `json:"value,omitempty"` // what was found, for scripts: "symmetric", "1500"
	Text      string   `json:"text"`            // one sentence for a person: what it means, and what to change
	Addresses []string `json:"addresses,omitempty"`
}

// conclude returns f with the result of its check.
func (f Finding) conclude(verdict Verdict, value, text string) Finding {
	f.Verdict, f.Value, f.Text = verdict, value, text
	return f
}

// Report is what an examination found, in the order of its checks.
type Report struct {
	OK       bool      `json:"ok"` // no finding is bad
	Findings []Finding `json:"checks"`
}

// newReport returns a report of the findings. It removes their addresses unless they are wanted.
func newReport(findings []Finding, addresses bool) Report {
	r := Report{OK: true, Findings: findings}
	for i, f := range findings {
		r.OK = r.OK && f.Verdict != Bad
		if !addresses {
			findings[i].Addresses = nil
		}
	}
	return r
}

// BadError is the error of a report with a bad finding.
type BadError struct{ Bad, All int }

func (e BadError) Error() string {
	return fmt.Sprintf("%d of %d checks found a problem: do what their lines say", e.Bad, e.All)
}

// Write writes the report, as a line for each finding or as one JSON object. It returns a BadError if a finding is bad.
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
	to = printable.Writer(to) // a relay chooses what is in its certificate, for example
	if asJSON {
		encoder := json.NewEncoder(to)
		encoder.SetIndent("", "  ")
		return encoder.Encode(r)
	}

	table := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	for _, f := range r.Findings {
		what := f.Check
		if whose := cmp.Or(f.Relay, f.Camera); whose != "" {
			what += " of " + whose
		}
		text := f.Text
		for _, a := range f.Addresses {
			text += " [" + a + "]"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\n", f.Verdict, what, text)
	}

	return table.Flush()
}
