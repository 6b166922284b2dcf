package signaling

import "crypto/ed25519"

// Mailbox holds the keys of a mailbox. Both ends of a pair can derive both keys.
type Mailbox struct {
	Read, Write ed25519.PrivateKey
	Ticket      []byte // admits the mailbox; only its owner has one
}

// Rendezvous returns a mailbox in which a camera and a viewer pair. It needs no operator's ticket.
func Rendezvous(read, write ed25519.PrivateKey) Mailbox {
	return Mailbox{Read: read, Write: write, Ticket: []byte(PairingTicket)}
}

// Name returns the mailbox's name.
func (m Mailbox) Name() Name {
	return NameOf(m.Read.Public().(ed25519.PublicKey), m.Write.Public().(ed25519.PublicKey))
}
