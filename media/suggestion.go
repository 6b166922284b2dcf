package media

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
)

// GuessError is the error of [Open] for a name that is no input as it stands, but was probably meant to be a URL.
type GuessError struct {
	Shown string // the URL without its password and path, for a person to confirm

	text string
	err  error
	url  func() string // a function, so that nothing prints the password
}

func newGuess(text string, err error, url, shown string) *GuessError {
	return &GuessError{Shown: shown, text: text, err: err, url: func() string { return url }}
}

func (e *GuessError) Error() string { return e.text }
func (e *GuessError) Unwrap() error { return e.err }

// URL returns the whole URL, for Open. It may contain a password.
func (e *GuessError) URL() string { return e.url() }

// findFile returns an error if an input's file does not exist. If the name looks like a URL, the error suggests that.
func findFile(in input) error {
	_, err := os.Stat(in.path)
	if err == nil {
		return nil
	}
	var path *fs.PathError
	if errors.As(err, &path) {
		err = path.Err // the path may hold a password
	}

	if url, shown := suggest(in.path); url != "" {
		return newGuess(fmt.Sprintf("open input: %v: did you mean %s?", err, shown), err, url, shown)
	}
	return fmt.Errorf("open input %s: %w", in, err)
}

// halfScheme matches a scheme whose :// is incomplete.
var halfScheme = regexp.MustCompile(`^(?i)(rtsps?|https?)[:/\\]+`)

// suggest returns the URL that a name was probably meant to be, and how to show it, without its password and path. Both
// are empty if the name does not look like a URL.
func suggest(name string) (url, shown string) {
	name = strings.TrimSpace(name)
	scheme, rest, isURL := strings.Cut(name, "://")
	half := halfScheme.FindStringSubmatch(name)
	switch {
	case isURL:
		scheme = nearScheme(scheme)
	case half != nil:
		scheme, rest = strings.ToLower(half[1]), name[len(half[0]):]
	default:
		scheme, rest = "rtsp", strings.TrimLeft(name, `/\`)
	}

	login := rest[:strings.LastIndexByte(rest, '@')+1] // a backslash may belong to the password
	rest = login + strings.ReplaceAll(rest[len(login):], `\`, "/")
	found, err := readAuthority(rest)
	if scheme == "" || err != nil {
		return "", ""
	}
	if strings.Contains(found.path, "@") {
		return "", "" // what looks like the host may be part of a password
	}
	if !isURL && half == nil && found.login == "" && !isAddress(found.host) && !strings.Contains(found.host, ":") {
		return "", "" // a file's name looks like this
	}

	url = scheme + "://" + rest
	if _, err := parseURL(schemes[scheme], url); err != nil {
		return "", ""
	}
	if half != nil && strings.HasSuffix(half[0], ":") && found.login != "" {
		found.login = "…" // the scheme may be a user's name, and what follows its colon the password
	}
	return url, scheme + "://" + found.shown()
}

// shown returns an authority without its password and path.
func (a authority) shown() (text string) {
	user, _, secret := strings.Cut(a.login, ":")
	switch {
	case secret && plainUser.MatchString(user):
		text = user + ":…@"
	case a.login != "":
		text = "…@"
	}

	text += a.host
	if strings.Trim(a.path, "/") != "" {
		text += "/…"
	}
	return text
}

// plainUser matches a user name that can be shown.
var plainUser = regexp.MustCompile(`^[\pL\pN._-]{1,32}$`)

// nearScheme returns the scheme that has the letters of typed, in any order; "" if there is none.
func nearScheme(typed string) string {
	sorted := func(s string) string { b := []byte(strings.ToLower(s)); slices.Sort(b); return string(b) }
	for scheme := range schemes {
		if sorted(scheme) == sorted(typed) {
			return scheme
		}
	}
	return ""
}
