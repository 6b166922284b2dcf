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
		{"-relay http://127.0.0.1:7880 test", `unknown argument "test": see camera -h`},
		{"-input test", "no relay given: say -relay https://HOST, " +
			"or -relay http://127.0.0.1:7880 for one on this machine"},
		{"-relay http://127.0.0.1:7880", "no input given: say -input rtsp://…, a file, /dev/videoN, or test"},
		{"-relay http://127.0.0.1:7880 -state= -input test", "no home directory to keep keys in: say -state DIR"},
	} {
		args := append([]string{"-state", t.TempDir()}, strings.Fields(tt.args)...)
		var out bytes.Buffer
		if err := run(t.Context(), nil, args, &out, &out); err == nil || err.Error() != tt.want {
			t.Errorf("%s: says %v\nwant %q", tt.args, err, tt.want)
		}
	}
}
