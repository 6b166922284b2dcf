package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"math"
	"path/filepath"
	"strings"
	"time"

	"github.com/peephole-cam/peephole/cmd/internal/cli"
	"github.com/peephole-cam/peephole/crypto/identity"
	"github.com/peephole-cam/peephole/signaling"
)

const (
	operatorFile   = "operator.key"
	operatorPrefix = "peephole-operator-1 "
)

// operatorKey reads the key that signs tickets, or makes one.
func operatorKey(dir string) (ed25519.PrivateKey, error) {
	path := filepath.Join(dir, operatorFile)
	text, err := identity.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		seed := make([]byte, ed25519.SeedSize)
		rand.Read(seed)
		text = []byte(operatorPrefix + base64.RawURLEncoding.EncodeToString(seed) + "\n")
		if err := identity.WriteFile(path, text); err != nil {
			return nil, fmt.Errorf("write operator key: %w; give another folder with -state", err)
		}
		return ed25519.NewKeyFromSeed(seed), nil
	}

	if err != nil {
		return nil, fmt.Errorf("read operator key: %w", err)
	}
	key, ok := parseOperatorKey(string(text))
	if !ok {
		return nil, fmt.Errorf("damaged operator key %s: restore it from a backup; removing it makes every ticket void",
			path)
	}
	return key, nil
}

// parseOperatorKey parses a key file, which is one line. Its line feed may be missing.
func parseOperatorKey(text string) (ed25519.PrivateKey, bool) {
	line := strings.TrimSuffix(text, "\n")
	seed, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(line, operatorPrefix))
	if err != nil || len(seed) != ed25519.SeedSize ||
		line != operatorPrefix+base64.RawURLEncoding.EncodeToString(seed) {
		return nil, false // cut short, or not the canonical spelling
	}
	return ed25519.NewKeyFromSeed(seed), true
}

var ticketHelp = cli.Help{
	Name: "relay ticket",
	Text: `relay ticket -state /var/lib/peephole -days 30 > door.ticket

Prints a ticket that lets a camera open its mailboxes on a relay that runs with
the same -state folder and -admission ticket. Anyone who has the ticket can use
its quota: hand it over in private. It names nobody.
`,
}

// maxDays bounds how long a ticket is valid, since a ticket cannot be revoked.
const maxDays = 3650

func ticketCommand(args []string, stdout io.Writer) error {
	set := flag.NewFlagSet("relay ticket", flag.ContinueOnError)
	state := set.String("state", "relay-state", "the relay's state `folder`, with the operator's key")
	mailboxes := cli.Int(set, "mailboxes", 256, 1, math.MaxInt32,
		"`N` mailboxes may be open at one time; a pair needs six, and two more for each session")
	sessions := cli.Int(set, "sessions", 600, 0, math.MaxInt32, "`N` sessions over TURN may begin each hour")
	days := cli.Int(set, "days", 365, 1, maxDays, "the ticket is valid for `N` days, 1 to 3650")
	if err := ticketHelp.Parse(set, args, stdout); err != nil {
		return err
	}
	if set.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q; see relay ticket -h", set.Arg(0))
	}

	notAfter, err := ticketEnd(time.Now(), *days)
	if err != nil {
		return err
	}
	key, err := operatorKey(*state)
	if err != nil {
		return err
	}

	t := signaling.Ticket{NotAfter: notAfter, Mailboxes: uint32(*mailboxes), SessionsPerHour: uint32(*sessions)}
	rand.Read(t.ID[:])
	_, err = fmt.Fprintln(stdout, base64.RawURLEncoding.EncodeToString(t.Issue(key)))
	return err
}

// ticketEnd returns the end of a ticket that is valid for the given number of days from now. A ticket has 32 bits for
// its end.
func ticketEnd(now time.Time, days int) (time.Time, error) {
	end := now.AddDate(0, 0, days)
	if end.Unix() > math.MaxUint32 {
		return time.Time{}, errors.New("-days: want an end before the year 2106")
	}
	return end, nil
}
