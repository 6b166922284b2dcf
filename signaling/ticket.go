package signaling

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/peephole-cam/peephole/crypto/label"
)

var (
	// ErrTicket is returned for a ticket that this operator did not sign.
	ErrTicket = errors.New("ticket was not issued by this relay's operator")
	// ErrTicketExpired is returned for a ticket that has expired.
	ErrTicketExpired = errors.New("ticket has expired: ask the relay's operator for a new one")
)

const (
	ticketVersion = 1
	ticketBody    = 1 + 16 + 4 + 4 + 4
	// TicketSize is the size of a ticket in bytes.
	TicketSize = ticketBody + ed25519.SignatureSize
)

// Ticket is an operator's permission to open mailboxes (doc/protocol.md, section 5.4). It names nobody.
type Ticket struct {
	ID              [16]byte
	NotAfter        time.Time // to the second
	Mailboxes       uint32    // how many may be open at the same time
	SessionsPerHour uint32    // how many are granted ICE servers
}

// Issue signs a ticket.
func (t Ticket) Issue(operator ed25519.PrivateKey) []byte {
	b := append([]byte{ticketVersion}, t.ID[:]...)
	b = binary.BigEndian.AppendUint32(b, uint32(t.NotAfter.Unix()))
	b = binary.BigEndian.AppendUint32(b, t.Mailboxes)
	b = binary.BigEndian.AppendUint32(b, t.SessionsPerHour)
	return append(b, label.Sign(operator, label.Ticket, b)...)
}

// ReadTicket reads a ticket from an operator's file. Only the operator's relay can tell whether it is valid.
func ReadTicket(path string) ([]byte, error) {
	text, err := ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read ticket: %w", err)
	}
	ticket, err := base64.RawURLEncoding.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(ticket) != TicketSize {
		return nil, fmt.Errorf("read ticket %s: not a ticket: ask the relay's operator for a new one", path)
	}
	return ticket, nil
}

// ParseTicket parses a ticket and checks it against the operator's key and the time. It returns ErrTicket or
// ErrTicketExpired if the ticket is not valid.
func ParseTicket(b []byte, operator ed25519.PublicKey, now time.Time) (Ticket, error) {
	var t Ticket
	if len(b) != TicketSize || b[0] != ticketVersion ||
		!label.Verify(operator, label.Ticket, b[:ticketBody], b[ticketBody:]) {
		return t, ErrTicket
	}
	copy(t.ID[:], b[1:])
	t.NotAfter = time.Unix(int64(binary.BigEndian.Uint32(b[17:])), 0)
	t.Mailboxes = binary.BigEndian.Uint32(b[21:])
	t.SessionsPerHour = binary.BigEndian.Uint32(b[25:])
	if now.After(t.NotAfter) {
		return t, ErrTicketExpired
	}
	return t, nil
}
