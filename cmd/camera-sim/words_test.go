package main

import (
	"bytes"
	"strings"
	"testing"
)

// A mistake on the command line is answered with what to do.
func TestMistakesAreAdvised(t *testing.T) {
	for _, tt := range []struct {
		args string
		want string
	}{
		{"test", `unknown argument "test": see camera-sim -h`},
		{"-n 0", "-n 0: want 1 to 10000; see camera-sim -h"},
		{"-relay http://127.0.0.1:7880 -name \x1b",
			`read -name: camera name "\x1b-0": want 1 to 64 printable characters, and no space around them`},
	} {
		args := append([]string{"-state", t.TempDir()}, strings.Fields(tt.args)...)
		var out bytes.Buffer
		if err := run(t.Context(), nil, args, &out, &out); err == nil || err.Error() != tt.want {
			t.Errorf("%s: says %v\nwant %q", tt.args, err, tt.want)
		}
	}
}
