package cli

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// width is how wide a screen is, in columns.
const width = 80

// Help is the help of a command or a subcommand. It fits on a screen of 80 columns and 24 lines with the next prompt.
type Help struct {
	Name   string   // as typed: relay serve
	Text   string   // begins with an example
	Common []string // the flags that -h shows, the others need -h all; nil: all
}

// Parse parses the flags before the first positional argument. For -h, -h all and -version it prints what was asked for
// and returns [flag.ErrHelp]. Flags without a usage are left out of the help.
func (h Help) Parse(set *flag.FlagSet, args []string, stdout io.Writer) error {
	if set.Lookup("version") == nil {
		set.Bool("version", false, "print version, commit and Go")
	}
	set.SetOutput(io.Discard)
	set.Usage = func() {}

	err := set.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		if _, err := io.WriteString(stdout, h.page(set, set.Arg(0) == "all")); err != nil {
			return fmt.Errorf("print help: %w", err)
		}
		return flag.ErrHelp
	case err != nil:
		return fmt.Errorf("%w; see %s -h", explain(set, err), h.Name)
	case set.Lookup("version").Value.String() == "true":
		return h.PrintVersion(stdout)
	}

	return nil
}

// PrintVersion prints the program's version and returns [flag.ErrHelp].
func (h Help) PrintVersion(stdout io.Writer) error {
	program, _, _ := strings.Cut(h.Name, " ")
	if _, err := fmt.Fprintln(stdout, program, Version()); err != nil {
		return fmt.Errorf("print version: %w", err)
	}
	return flag.ErrHelp
}

// page returns the help: what fits on one screen, or all of it.
func (h Help) page(set *flag.FlagSet, all bool) string {
	var out strings.Builder
	out.WriteString(h.Text)
	if h.Common == nil {
		all = true
	}

	var flags []*flag.Flag
	set.VisitAll(func(f *flag.Flag) {
		if all && f.Usage != "" || slices.Contains(h.Common, f.Name) {
			flags = append(flags, f)
		}
	})

	if len(flags) > 0 {
		out.WriteString("\n")
	}
	for _, f := range flags {
		out.WriteString(describe(f, all))
	}

	if !all {
		fmt.Fprintf(&out, "%s -h all lists every flag.\n", h.Name)
	}
	return out.String()
}

// describe returns a flag's entry in the help: whole, with its default, or only up to the first semicolon.
func describe(f *flag.Flag, whole bool) string {
	const column = 20
	value, usage := flag.UnquoteUsage(f)
	if !whole {
		usage, _, _ = strings.Cut(usage, ";")
	}

	if zero := slices.Contains([]string{"", "false", "0", "0s"}, f.DefValue); whole && !zero {
		usage += " (default " + f.DefValue + ")"
	}

	line := strings.TrimRight("  -"+f.Name+" "+value, " ")
	if utf8.RuneCountInString(line) > column-2 {
		line += "\n" + strings.Repeat(" ", column)
	} else {
		line += strings.Repeat(" ", column-utf8.RuneCountInString(line))
	}

	return line + strings.Join(wrap(usage, width-column-1), "\n"+strings.Repeat(" ", column)) + "\n"
}

// wrap breaks text between words into lines of at most columns.
func wrap(text string, columns int) (lines []string) {
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > columns {
			lines = append(lines, line)
			line = ""
		}
		line = strings.TrimLeft(line+" "+word, " ")
	}

	return append(lines, line)
}
