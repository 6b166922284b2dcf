package e2e

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

// commandLines returns all commands and the subcommands that they list.
func commandLines(t *testing.T) (all [][]string) {
	t.Helper()
	for _, name := range []string{"relay", "camera", "camera-sim", "viewer"} {
		all = append(all, []string{name})
		listed := regexp.MustCompile(`(?m)^  `+name+` ([a-z]+) `).FindAllStringSubmatch(asked(t, name, "-h"), -1)
		for _, m := range listed {
			if m[1] != "version" { // it has no flags
				all = append(all, []string{name, m[1]})
			}
		}
	}

	if len(all) != 15 {
		t.Errorf("%d commands and subcommands: %q", len(all), all)
	}
	return all
}

// asked returns what a command prints when asked for help, in a home directory that it must leave alone.
func asked(t *testing.T, command ...string) string {
	t.Helper()
	const home = "/home/nobody-lives-here"
	cmd := exec.CommandContext(t.Context(), filepath.Join(binaries(t), command[0]), command[1:]...)
	cmd.Dir, cmd.Env = t.TempDir(), []string{"HOME=" + home}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil || stderr.Len() > 0 {
		t.Fatalf("%q: %v, stderr %q", command, err, stderr.String())
	}

	made, err := os.ReadDir(cmd.Dir)
	if _, missing := os.Stat(home); err != nil || len(made) > 0 || !errors.Is(missing, fs.ErrNotExist) {
		t.Errorf("%q made files: %v, %v", command, made, missing)
	}
	return string(out)
}

// Help fits a screen of 80 columns and 24 lines, one of which is the next prompt's, and begins with an example.
func TestHelpFitsAScreen(t *testing.T) {
	t.Parallel()
	for _, command := range commandLines(t) {
		help := asked(t, append(command, "-h")...)
		lines := strings.Split(strings.TrimSuffix(help, "\n"), "\n")
		if len(lines) > 23 {
			t.Errorf("%q -h has %d lines", command, len(lines))
		}

		if !strings.HasPrefix(lines[0], strings.Join(command, " ")+" ") && lines[0] != "viewer list" ||
			strings.Contains(lines[0], "[") {
			t.Errorf("%q -h begins with %q, which is no example", command, lines[0])
		}

		all := asked(t, append(command, "-h", "all")...)
		for _, line := range strings.Split(help+all, "\n") {
			if utf8.RuneCountInString(line) > 80 {
				t.Errorf("%q -h has a line of %d columns: %s", command, utf8.RuneCountInString(line), line)
			}
		}

		for _, line := range lines {
			flag, isFlag := strings.CutPrefix(line, "  -") // a line of prose may begin with a flag, too
			if name, _, _ := strings.Cut(flag, " "); isFlag && !strings.Contains(all, "\n  -"+name) {
				t.Errorf("%q -h all is without -%s", command, name)
			}
		}
	}
}

func TestEveryCommandSaysItsVersion(t *testing.T) {
	t.Parallel()
	says := regexp.MustCompile(`^[a-z-]+ \S+, commit ([0-9a-f]{40}(, with changes)?|unknown), go1\.\d+\S*\n$`)
	for _, command := range commandLines(t) {
		for _, flag := range []string{"-version", "--version"} {
			if got := asked(t, append(command, flag)...); !says.MatchString(got) ||
				!strings.HasPrefix(got, command[0]+" ") {
				t.Errorf("%q %s says %q", command, flag, got)
			}
		}
	}
}

// Flags out of range are refused before anything is done, with a sentence that names the range.
func TestFlagsOutOfRangeAreRefused(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	for line, want := range map[string]string{
		"viewer watch x -frames -5":                    "viewer: -frames -5: want 0 to 1000000000",
		"viewer watch -duration -5s x":                 "viewer: -duration -5s: want 0 to 8760h",
		"viewer watch x -duration 5":                   "viewer: -duration 5: want 0 to 8760h",
		"viewer doctor -relay https://relay.example:0": "viewer: read relay URL: want a port from 1 to 65535",
		"viewer -log-level loud list": `viewer: -log-level "loud": ` +
			`want debug, info, warn or error`,
		"camera -pair-window -1s":                           "camera: -pair-window -1s: want 0 to 24h",
		"camera -pair-window 25h":                           "camera: -pair-window 25h: want 0 to 24h",
		"camera -relay https://r:65536 -input test":         "camera: read relay URL: want a port from 1 to 65535",
		"camera -relay https://r -input test:641x360@15":    "want even sizes of 32 to 4096",
		"camera -relay https://r -input test:640x360@121":   "want 1 to 120",
		"camera -relay https://r -input rtsp://cam:65536/x": "is not a number from 1 to 65535",
		"camera-sim -n 0":                                   "camera-sim: -n 0: want 1 to 10000",
		"camera-sim -n 10001":                               "camera-sim: -n 10001: want 1 to 10000",
		"camera-sim -first -1":                              "camera-sim: -first -1: want 0 to 1000000",
		"relay serve -listen 127.0.0.1:65536": `relay: -listen "127.0.0.1:65536": ` +
			`want a port from 0 to 65535`,
		"relay serve -turn 127.0.0.1:-1": `relay: -turn "127.0.0.1:-1": want a port from 0 to 65535`,
		"relay serve -metrics 127.0.0.1:": `relay: -metrics "127.0.0.1:": ` +
			`want a port from 0 to 65535`,
		"relay serve -turn-public relay.example:0": `relay: -turn-public "relay.example:0": ` +
			`want a port from 1 to 65535`,
		"relay serve -public-url https://r.example:0": `relay: -public-url "https://r.example:0": ` +
			`want a port from 1 to 65535`,
		"relay serve -turn-mbit -1":       "relay: -turn-mbit -1: want 0 to 10000000",
		"relay serve -turn-allocations 0": "relay: -turn-allocations 0: want 1 to 1048560",
		"relay serve -drain 25h":          "relay: -drain 25h: want 0 to 24h",
		"relay ticket -mailboxes 0":       "relay: -mailboxes 0: want 1 to 2147483647",
		"relay ticket -sessions -1":       "relay: -sessions -1: want 0 to 2147483647",
		"relay ticket -days 3651":         "relay: -days 3651: want 1 to 3650",
	} {
		args := strings.Fields(line)
		// a flag that is accepted makes the command run for ever
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		cmd := exec.CommandContext(ctx, filepath.Join(binaries(t), args[0]), args[1:]...)
		cmd.Dir, cmd.Env = home, append(os.Environ(), "HOME="+home)
		if out, err := cmd.CombinedOutput(); cmd.ProcessState.ExitCode() != 1 || !strings.Contains(string(out), want) {
			t.Errorf("%s: %v, %q; want %q", line, err, out, want)
		}
	}
}
