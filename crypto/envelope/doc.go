// Package envelope seals and opens the messages between a paired camera and viewer, and derives the mailboxes
// they travel through (doc/protocol.md, sections 4 and 5.1).
//
//	0        1            9                1129
//	+--------+------------+----------------+---------------------+
//	| u8 = 1 | tag [8]    | enc [1120]     | ciphertext          |
//	+--------+------------+----------------+---------------------+
//
// An envelope names nobody. Its camera, viewer, direction, purpose, epoch and mailbox are authenticated, and the
// receiver rebuilds them from the mailbox that it came through: moved to another mailbox, day, direction or pair, it
// does not open. Authentication comes from the pair secret and is mutual. Opening an envelope also takes the
// recipient's private key. The error for an envelope that does not open says no more than [ErrNotForUs].
//
// It is not part of the SDK (doc/sdk.md): its API may change at any time.
package envelope
