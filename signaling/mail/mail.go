// Package mail says how a relay keeps the messages that wait in mailboxes, so that they survive its process. Package
// jetstream, below, keeps them on disk.
//
// A message is opaque and sealed. What is kept beside it is the name of its mailbox, when it expires, and whether the
// mailbox's own payer posted it: nothing that says who that is.
//
// It is not part of the SDK (doc/sdk.md): its API may change at any time.
package mail

import (
	"errors"
	"time"
)

// Errors of a Store.
var (
	// ErrMailboxFull means that too many messages wait in the mailbox. Nothing was stored.
	ErrMailboxFull = errors.New("too many messages wait in this mailbox")
	// ErrUnavailable means that the store cannot keep or find anything now: it or its disk is full, or does not answer.
	// If it did not answer in time, it deletes the message once it does; if the process ends before that, the message
	// may be found later.
	ErrUnavailable = errors.New("stored messages are not available")
)

// MaxPerMailbox bounds the messages that a Store holds for one mailbox. It is twice what may wait there, since a
// message is still in the Store for a moment after it was deleted or has expired.
const MaxPerMailbox = 512

// Message is one message that waits in a mailbox.
type Message struct {
	ID      uint64 // names the message in its Store; chosen by Put, never 0
	Body    []byte // must not be changed
	Expires time.Time
	Own     bool // the mailbox's payer posted it
}

// Store keeps messages until they expire or are deleted. It may be used by several goroutines. Errors wrap
// ErrUnavailable, or ErrMailboxFull.
type Store interface {
	// Put keeps a message, and returns its ID once nothing but a power cut can take the message away. A Store may
	// promise more.
	Put(name [32]byte, m Message) (id uint64, err error)

	// Waiting returns the messages of a mailbox in the order in which they were put. Some may have just expired.
	Waiting(name [32]byte) ([]Message, error)

	// Delete deletes a message of a mailbox. It does nothing if the message is gone, or is another mailbox's. After an
	// error the Store tries again by itself.
	Delete(name [32]byte, id uint64) error
}
