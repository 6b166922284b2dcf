// Package envelope seals and opens the messages between a paired camera and viewer, and derives the mailboxes
// they travel through (doc/protocol.md, sections 4 and 5.1).
//
//	0        1            9                1129
//	+--------+------------+----------------+---------------------+
//	| u8 = 1 | tag [8]    | enc [1120]     | ciphertext          |
//	+--------+------------+----------------+---------------------+
//
// An envelope names nobody. Its camera, viewer, direction, purpose, epoch and mailbox are authenticated and rebuilt by the
// receiver from the mailbox it came through: moved to another mailbox, day, direction or pair, it does not open.
// Authentication comes from the pair secret and is mutual; to open one takes the recipient's private key as well.
// Nothing that fails to open says why beyond [ErrNotForUs].
package envelope
