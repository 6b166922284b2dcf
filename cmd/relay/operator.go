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
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/peephole-cam/peephole/crypto/identity"
	"github.com/peephole-cam/peephole/signaling"
)

const (
	operatorFile   = "operator.key"
	operatorPrefix = "peephole-operator-1 "
)

// operatorKey reads the key that signs tickets, or makes it.
func operatorKey(dir string) (ed25519.PrivateKey, error) {
	path := filepath.Join(dir, operatorFile)
	text, err := os.ReadFile(path)
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
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read operator key: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("operator key is readable by others: run chmod 600 %s", path)
	}
	key, ok := parseOperatorKey(string(text))
	if !ok {
		return nil, fmt.Errorf("damaged operator key %s: restore it from a backup; removing it makes every ticket void", path)
	}
	return key, nil
}

// parseOperatorKey reads a key file's one line. Its last line feed may be missing.
func parseOperatorKey(text string) (ed25519.PrivateKey, bool) {
	line := strings.TrimSuffix(text, "\n")
	seed, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(line, operatorPrefix))
	if err != nil || len(seed) != ed25519.SeedSize || line != operatorPrefix+base64.RawURLEncoding.EncodeToString(seed) {
		return nil, false // cut short, or spelled otherwise
	}
	return ed25519.NewKeyFromSeed(seed), true
}

const ticketUsage = `relay ticket [flags]

Prints a ticket that lets a camera open its mailboxes on a relay that runs with -admission ticket and the same -state
folder. Whoever has the ticket can use its quota: hand it over in private. It names nobody. Flags:
`

func ticketCommand(args []string, stdout, stderr io.Writer) error {
	set := flag.NewFlagSet("relay ticket", flag.ContinueOnError)
	set.SetOutput(stderr)
	set.Usage = func() { fmt.Fprint(stderr, ticketUsage); set.PrintDefaults() }
	state := set.String("state", "relay-state", "the relay's state `folder`, with the operator's key")
	mailboxes := set.Uint("mailboxes", 256, "mailboxes open at one time; a pair needs six, and two for every session")
	sessions := set.Uint("sessions", 600, "sessions over TURN that may begin in an hour")
	days := set.Uint("days", 365, "how long the ticket is good for")
	if err := set.Parse(args); err != nil {
		return err
	}
	notAfter := time.Now().Add(time.Duration(min(*days, 36_500)) * 24 * time.Hour)
	switch {
	case set.NArg() > 0:
		return fmt.Errorf("unexpected argument %q; see relay ticket -h", set.Arg(0))
	case *mailboxes == 0 || *mailboxes > math.MaxInt32 || *sessions > math.MaxInt32:
		return errors.New("-mailboxes and -sessions: want positive numbers below two thousand million")
	case *days == 0 || notAfter.Unix() > math.MaxUint32:
		return errors.New("-days: want at least one day, and an end before the year 2106")
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
