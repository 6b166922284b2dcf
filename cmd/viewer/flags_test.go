package main

import (
	"strings"
	"testing"
)

// Shared flags work before a command, after it, and after its argument; the last one wins.
func TestSharedFlagsStandOnEitherSideOfTheCommand(t *testing.T) {
	porch, attic := paired(t, "porch"), paired(t, "attic")
	for _, args := range [][]string{
		{"-state", porch, "list"},
		{"list", "-state", porch},
		{"list", "-json", "-state=" + porch},
		{"-state", attic, "-log-level", "debug", "list", "-state", porch, "-no-portmap"},
	} {
		said, err := viewerSays(t, args...)
		if err != nil || !strings.Contains(said, "porch") || strings.Contains(said, "attic") {
			t.Errorf("%q: says %q, %v", args, said, err)
		}
	}

	said, err := viewerSays(t, "forget", "attic", "-state", attic)
	if err != nil || said != "forgot attic on this device\n" {
		t.Errorf("forget: says %q, %v", said, err)
	}
}

// A shared flag before the command counts, whatever follows the command.
func TestSharedFlagsAreNotReset(t *testing.T) {
	state := paired(t, "porch")
	damagePair(t, state)
	said, err := viewerSays(t, "-log-format", "json", "list", "-state", state)
	if err != nil || !strings.Contains(said, `"msg":"some cameras cannot be watched"`) {
		t.Errorf("-log-format before the command: says %q, %v", said, err)
	}

	_, err = viewerSays(t, "-relay-cert", "no-such-file.pem", "list", "-state", state)
	if err == nil || !strings.Contains(err.Error(), "no-such-file.pem") {
		t.Errorf("-relay-cert before the command: says %v", err)
	}
}

// A mistake in a shared flag is refused on either side of the command.
func TestSharedFlagsAreCheckedOnEitherSide(t *testing.T) {
	for _, args := range [][]string{{"-log-level", "loud", "list"}, {"list", "-log-level", "loud"}} {
		const want = `-log-level "loud": want debug, info, warn or error; see viewer`
		if _, err := viewerSays(t, args...); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: says %v\nwant %q", args, err, want)
		}
	}
}
