package cli

import (
	"errors"
	"flag"
	"runtime/debug"
	"strings"
	"testing"
	"time"
)

var help = Help{
	Name:   "tool do",
	Text:   "tool do -n 3\n\nDoes it.\n",
	Common: []string{"n"},
}

// flags returns the flags of a command: -n from 1 to 9, and -t up to a day.
func flags() (set *flag.FlagSet, n *int, d *time.Duration) {
	set = flag.NewFlagSet("do", flag.ContinueOnError)
	n = Int(set, "n", 1, 1, 9, "`N` times; and why")
	d = Duration(set, "t", 10*time.Minute, 0, 24*time.Hour, "within this `time`; "+strings.Repeat("word ", 19))
	return set, n, d
}

func TestHelpIsPrintedWhereItWasAskedFor(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"-h"}, "tool do -n 3\n\nDoes it.\n\n  -n N              N times\ntool do -h all lists every flag.\n"},
		{[]string{"-n", "2", "--help", "all"}, "tool do -n 3\n\nDoes it.\n\n" +
			"  -n N              N times; and why (default 1)\n" +
			"  -t time           within this time; word word word word word word word word\n" +
			"                    word word word word word word word word word word word\n" +
			"                    (default 10m)\n" +
			"  -version          print version, commit and Go\n"},
	} {
		var out strings.Builder
		set, _, _ := flags()
		if err := help.Parse(set, tt.args, &out); !errors.Is(err, flag.ErrHelp) || out.String() != tt.want {
			t.Errorf("%q: %v\n%s\nwant\n%s", tt.args, err, out.String(), tt.want)
		}
	}
}

func TestMistakesAreRefusedInFewWords(t *testing.T) {
	for args, want := range map[string]string{
		"-n 0":                        "-n 0: want 1 to 9; see tool do -h",
		"-n=10":                       "-n 10: want 1 to 9; see tool do -h",
		"-n -5":                       "-n -5: want 1 to 9; see tool do -h",
		"-n many":                     "-n many: want 1 to 9; see tool do -h",
		"-n 1e3":                      "-n 1e3: want 1 to 9; see tool do -h",
		"-n 99999999999999999999":     "-n 99999999999999999999: want 1 to 9; see tool do -h",
		"-t -5s":                      "-t -5s: want 0 to 24h; see tool do -h",
		"-t 25h":                      "-t 25h: want 0 to 24h; see tool do -h",
		"-t 5":                        "-t 5: want 0 to 24h; see tool do -h",
		"-t 3ms -n 9 -x":              "unknown flag -x; see tool do -h",
		"-n":                          "-n needs a value; see tool do -h",
		"-n 1 -t 24h -n 9 -version=x": `-version "x": want true or false; see tool do -h`,
	} {
		var out strings.Builder
		set, _, _ := flags()
		if err := help.Parse(set, strings.Fields(args), &out); err == nil || err.Error() != want || out.Len() > 0 {
			t.Errorf("%s: %v, %q; want %s", args, err, out.String(), want)
		}
	}

	set, n, d := flags()
	if err := help.Parse(set, []string{"-n", "9", "-t", "24h", "rest"}, nil); err != nil || *n != 9 ||
		*d != 24*time.Hour || set.Arg(0) != "rest" {
		t.Errorf("%v, %d, %v, %q", err, *n, *d, set.Args())
	}
}

func TestDurationsAreWrittenShort(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0", time.Second: "1s", 10 * time.Second: "10s", time.Minute: "1m", 10 * time.Minute: "10m", time.Hour: "1h",
		90 * time.Minute: "1h30m", 24 * time.Hour: "24h", time.Hour + time.Second: "1h0m1s",
		5 * time.Millisecond: "5ms",
	} {
		if got := formatDuration(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}

func TestVersionNamesTheCommit(t *testing.T) {
	info := &debug.BuildInfo{GoVersion: "go1.26.8", Main: debug.Module{Version: "v1.2.3"},
		Settings: []debug.BuildSetting{
			{Key: "vcs", Value: "git"}, {Key: "vcs.revision", Value: "c0ffee"}, {Key: "vcs.modified", Value: "false"},
		}}
	if got, want := describeBuild(info), "v1.2.3, commit c0ffee, go1.26.8"; got != want {
		t.Errorf("%q, want %q", got, want)
	}

	info.Settings[2].Value = "true"
	if got, want := describeBuild(info), "v1.2.3, commit c0ffee, with changes, go1.26.8"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got, want := describeBuild(&debug.BuildInfo{GoVersion: "go1.26.8"}),
		"(devel), commit unknown, go1.26.8"; got != want {
		t.Errorf("%q, want %q", got, want)
	}

	var out strings.Builder
	set, _, _ := flags()
	err := help.Parse(set, []string{"-version"}, &out)
	if !errors.Is(err, flag.ErrHelp) || !strings.HasPrefix(out.String(), "tool ") ||
		!strings.Contains(out.String(), ", commit ") {
		t.Errorf("%v, %q", err, out.String())
	}
}
