package main

import (
	_ "embed"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"text/template"
)

//go:embed report.md.tmpl
var reportText string

// pairOfResults is the input of the report.
type pairOfResults struct {
	Sealed, Unsealed *Result
	Faults           string // the table of single faults, as the tests wrote it
	Cores            int
}

func reportCommand(args []string) error {
	fs := flag.NewFlagSet("report", flag.ContinueOnError)
	faults := fs.String("faults", "", "`file` with the table of single faults")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if fs.NArg() != 4 {
		return errors.New("say report SEALED UNSEALED DOC PLOT")
	}

	r := pairOfResults{Cores: runtime.NumCPU()}
	var err1, err2, err3 error
	r.Sealed, err1 = readResult(fs.Arg(0))
	r.Unsealed, err2 = readResult(fs.Arg(1))
	if *faults != "" {
		var table []byte
		table, err3 = os.ReadFile(*faults)
		r.Faults = strings.TrimSpace(string(table))
	}

	if err := errors.Join(err1, err2, err3); err != nil {
		return err
	}
	text, err := r.text()
	if err != nil {
		return err
	}
	if err := os.WriteFile(fs.Arg(2), []byte(text), 0o644); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	if err := os.WriteFile(fs.Arg(3), r.plot(), 0o644); err != nil {
		return fmt.Errorf("write plot: %w", err)
	}

	fmt.Print(r.table())

	return r.verdict()
}

func readResult(file string) (*Result, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read result: %w", err)
	}
	r := new(Result)
	if err := json.Unmarshal(b, r); err != nil {
		return nil, fmt.Errorf("read result %s: %w", file, err)
	}
	return r, nil
}

// verdict returns an error unless the sealed run showed nobody a stranger's picture, everybody came back, and the
// control leaked.
func (r *pairOfResults) verdict() error {
	s, u := r.Sealed, r.Unsealed
	switch {
	case !s.Sealed || u.Sealed:
		return errors.New("give the sealed result first, then the control's")
	case s.Final.Strangers+s.Final.LiveStrangers+s.Final.Saw > 0:
		return errors.New("a person was shown a stranger's picture")
	case s.Households != u.Households:
		return errors.New("the control is of another size")
	case s.Crossed == 0 || s.Final.Rejected == s.Final.RejectedPackets || u.Crossed == 0:
		return errors.New("the cloud mixed nothing up: this shows nothing")
	case s.Sample > 0 && (s.CrossedPackets == 0 || s.Final.RejectedPackets == 0):
		return errors.New("the cloud mixed up no live video: this shows nothing of it")
	case s.Final.Back < s.Households || s.Final.LiveBack < s.Sample:
		return errors.New("not everybody has the right picture back")
	case u.Final.Saw == 0:
		return errors.New("the control leaked nothing: this shows nothing")
	}

	return nil
}

func (r *pairOfResults) text() (string, error) {
	t, err := template.New("report").Funcs(template.FuncMap{"n": thousands}).Parse(reportText)
	if err != nil {
		return "", fmt.Errorf("parse report: %w", err)
	}
	var b strings.Builder
	if err := t.Execute(&b, r); err != nil {
		return "", fmt.Errorf("write report: %w", err)
	}
	return b.String(), nil
}

// Table returns the table for people who are not engineers.
func (r *pairOfResults) Table() string { return r.table() }

func (r *pairOfResults) table() string {
	s, u := r.Sealed, r.Unsealed
	var b strings.Builder
	row := func(what, sealed, unsealed string) { fmt.Fprintf(&b, "| %s | %s | %s |\n", what, sealed, unsealed) }
	row("", "Peephole", "the same without sealing")
	row("---", "---:", "---:")
	row("households: a camera and a person each", thousands(s.Households), thousands(u.Households))
	row("messages that the mixed-up cloud delivered to the wrong mailbox", thousands(int(s.Crossed)),
		thousands(int(u.Crossed)))
	row("packets of live video that it delivered to the wrong household", thousands(int(s.CrossedPackets)),
		"not part of it")
	row("**strangers' pictures shown**", "**"+thousands(s.Final.Strangers+s.Final.LiveStrangers)+"**",
		"**"+thousands(u.Final.Strangers)+"**")
	row("**people who saw a stranger's home**", "**"+thousands(s.Final.Saw)+"**", "**"+thousands(u.Final.Saw)+"**")
	row("people who were told that something came which is not from their camera", thousands(s.Final.Told),
		thousands(u.Final.Told))
	row("things that arrived, did not open and were not shown", thousands(s.Final.Rejected),
		thousands(u.Final.Rejected))
	row("people who had their own picture back afterwards, by themselves", thousands(s.Final.Back),
		thousands(u.Final.Back))
	row("how long after: median, 95 of 100, the last", quantiles(s.Back), quantiles(u.Back))
	row("live sessions through the relay at a time", thousands(s.Sample), "not part of it")
	row("of these back afterwards: how many; median, the last",
		fmt.Sprintf("%s; %s", thousands(s.Final.LiveBack), quantiles(s.LiveBack)), "not part of it")

	return b.String()
}

func quantiles(ms []int64) string {
	if len(ms) == 0 {
		return "-"
	}
	sorted := slices.Sorted(slices.Values(ms))
	at := func(q int) string { return fmt.Sprintf("%.1f", float64(sorted[(len(sorted)-1)*q/100])/1000) }
	return at(50) + " s, " + at(95) + " s, " + at(100) + " s"
}

// thousands formats a number for people.
func thousands(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
