package agent

import (
	"strings"
	"testing"
)

func TestCheckName(t *testing.T) {
	for name, ok := range map[string]bool{
		"front door": true, "Küche 2": true, strings.Repeat("ü", maxName): true,
		"": false, strings.Repeat("x", maxName+1): false, "two\nlines": false, "\x1b[2J": false, "left\u202eright": false, "\xff": false,
	} {
		if err := checkName(name); (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		}
	}
}
