package envelope

import (
	"crypto/ed25519"
	"encoding/binary"
	"fmt"
	"log/slog"
	"time"

	"github.com/peephole-cam/peephole/crypto/identity"
	"github.com/peephole-cam/peephole/crypto/label"
)

// Direction says which end a mailbox leads to.
type Direction uint8

// The two directions.
const (
	ToCamera Direction = 1
	ToViewer Direction = 2
)

// To returns the direction towards a role.
func To(r identity.Role) Direction { return Direction(r) }

// SessionID names one session, 16 random bytes.
type SessionID [16]byte

type scope uint8

const (
	pairScope    scope = 1
	sessionScope scope = 2
	pairingScope scope = 3
)

// Mailbox is where one end leaves messages for the other: the read key opens it, the write key posts to it, and its
// name is a hash of both.
type Mailbox struct {
	Read, Write ed25519.PrivateKey
	Name        [32]byte

	direction Direction
	scope     scope
	epoch     uint32
	session   SessionID // of a session's mailbox
}

// carries reports whether a message of type t and session id travels through m (the table of section 4).
func (m Mailbox) carries(t Type, id SessionID) bool {
	switch t {
	case TypeWelcome:
		return m.scope == pairScope
	case TypeOffer:
		return m.scope == pairScope && m.direction == ToCamera
	case TypeAnswer, TypeRefuse:
		return m.scope == sessionScope && m.direction == ToViewer && m.session == id
	}
	return false
}

// LogValue implements slog.LogValuer; it reveals neither the keys nor the name, which could link a log to a pair.
func (Mailbox) LogValue() slog.Value { return slog.StringValue(redactedMailbox) }

// Format implements fmt.Formatter for every verb; it does not reveal the keys.
func (Mailbox) Format(f fmt.State, _ rune) { fmt.Fprint(f, redactedMailbox) }

const redactedMailbox = "mailbox(redacted)"

func deriveMailbox(secret []byte, s scope, d Direction, rest []byte) Mailbox {
	info := append([]byte{byte(s), byte(d)}, rest...)
	m := Mailbox{
		Read:      ed25519.NewKeyFromSeed(label.KDF(nil, secret, label.MailboxRead, info, ed25519.SeedSize)),
		Write:     ed25519.NewKeyFromSeed(label.KDF(nil, secret, label.MailboxWrite, info, ed25519.SeedSize)),
		direction: d,
		scope:     s,
	}

	m.Name = label.Hash(label.MailboxName, m.Read.Public().(ed25519.PublicKey), m.Write.Public().(ed25519.PublicKey))
	return m
}

// Rendezvous returns a mailbox of a pairing: to the displayer (1) or to the scanner (2). r is the rendezvous secret.
func Rendezvous(r []byte, d Direction) Mailbox { return deriveMailbox(r, pairingScope, d, nil) }

// Mailbox returns the pair's mailbox of a day.
func (p *Pair) Mailbox(d Direction, day uint32) Mailbox {
	m := deriveMailbox(p.MailboxSecret[:], pairScope, d, binary.BigEndian.AppendUint32(nil, day))
	m.epoch = day
	return m
}

// SessionMailbox returns a mailbox of one session.
func (p *Pair) SessionMailbox(d Direction, id SessionID) Mailbox {
	m := deriveMailbox(p.MailboxSecret[:], sessionScope, d, id[:])
	m.session = id
	return m
}

const daySeconds = 24 * 60 * 60

// Day returns the pair's day at t. Each pair's day begins at a time of its own, so that not all mailboxes change at
// once. A time before 1970 counts as 1970.
func (p *Pair) Day(t time.Time) uint32 {
	offset := binary.BigEndian.Uint32(label.KDF(nil, p.MailboxSecret[:], label.MailboxDayOffset, nil, 4)) % daySeconds
	return uint32((max(0, t.Unix()) + int64(offset)) / daySeconds)
}
