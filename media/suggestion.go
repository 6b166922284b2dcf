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

	if url := suggest(in.path); url != "" {
		return fmt.Errorf("open input: %w: did you mean %s?", err, url)
	}
	return fmt.Errorf("open input %s: %w", in, err)
}

// halfScheme matches a scheme whose :// is incomplete.
var halfScheme = regexp.MustCompile(`^(?i)(rtsps?|https?)[:/\\]+`)

// suggest returns the URL that a name was probably meant to be, without its password and path; "" if it does not look
// like a URL.
func suggest(name string) string {
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

	found, err := readAuthority(strings.ReplaceAll(rest, `\`, "/"))
	if scheme == "" || err != nil {
		return ""
	}
	if !isURL && half == nil && found.login == "" && !isAddress(found.host) && !strings.Contains(found.host, ":") {
		return "" // a file's name looks like this
	}

	url := scheme + "://"
	user, _, secret := strings.Cut(found.login, ":")
	switch {
	case secret && plainUser.MatchString(user):
		url += user + ":…@"
	case found.login != "":
		url += "…@"
	}

	url += found.host
	if strings.Trim(found.path, "/") != "" {
		url += "/…"
	}
	return url
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
