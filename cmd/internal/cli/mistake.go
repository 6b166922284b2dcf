package cli

import (
	"errors"
	"flag"
	"fmt"
	"regexp"
	"strings"
)

// invalidValue is how package flag begins the error of a value that a flag refuses.
var invalidValue = regexp.MustCompile(`^invalid (?:boolean )?value (".*") for (?:flag )?(-[a-z-]+): `)

// explain returns err, of package flag, in fewer words. It relies on the wording only to shorten it, and returns a
// wording that it does not recognize as it is.
func explain(set *flag.FlagSet, err error) error {
	text := err.Error()
	set.VisitAll(func(f *flag.Flag) {
		if n, ok := f.Value.(interface{ refusal() error }); ok && n.refusal() != nil {
			text = fmt.Sprintf("-%s %v", f.Name, n.refusal())
		}
	})

	if name, ok := strings.CutPrefix(text, "flag provided but not defined: "); ok {
		return errors.New("unknown flag " + name)
	}
	if name, ok := strings.CutPrefix(text, "flag needs an argument: "); ok {
		return errors.New(name + " needs a value")
	}
	if strings.HasPrefix(text, "invalid boolean value ") {
		text = strings.Replace(text, "parse error", "want true or false", 1)
	}
	return errors.New(invalidValue.ReplaceAllString(text, "$2 $1: "))
}
