// Package model drives random interleavings of what people, devices, disks and an evil cloud can do (show a code, scan, deliver
// anything to anybody at any time, restart, restore an old backup, remove, pair again) over the real code of crypto/identity,
// crypto/pairing and crypto/envelope, and asks after every step who could open what. It holds tests only.
//
// The oracle is who may open what, in plain maps and numbers. It imports none of the code under test and never looks at its errors:
//
//   - A pair is four numbers: which camera, which viewer, and of which run of the pairing its two secrets are. A run makes a pair
//     when the displayer's first proven M1, its M2 and the M3 that answers it went round unchanged under one code.
//   - Whoever holds exactly that pair, at the end it leads to, through the mailbox (day or session, and direction) it was
//     sealed for, before it expires, opens exactly what was sealed. Everybody else, everywhere else and ever after opens nothing.
//   - What a process has accepted it never accepts again, whatever its clock does. What a device holds is what lies on its disk.
//   - No key and nonce are used twice: no encapsulation and no keystream ever comes again, after a roll-back neither.
//
// The same is asked of session secrets, records and frames in package session (TestSessionModel), and of a relay's
// mailboxes in package signaling (TestRelayModel), each with an oracle of its own. CONTRIBUTING.md says how to look longer.
package model
