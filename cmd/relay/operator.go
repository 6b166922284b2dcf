package main

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/peephole-cam/peephole/cmd/internal/cli"
	"github.com/peephole-cam/peephole/signaling"
)

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
