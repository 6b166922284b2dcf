// Package model drives random interleavings of what people, devices, disks and an evil cloud can do (show a code, scan,
// deliver anything to anybody at any time, restart, restore an old backup, remove, pair again) over the real code of
// crypto/identity, crypto/pairing and crypto/envelope, and asks after every step who could open what. It holds tests
// only.
//
// The oracle knows who may open what, in plain maps and numbers. It uses none of the code under test and never looks at
// its errors:
//
//   - A pair is four numbers: a camera, a viewer, and the runs of the pairing that its two secrets come from. A run
//     makes a pair when the displayer's first proven M1, its M2 and the M3 that answers it went round unchanged under
//     one code.
//   - The holder of exactly that pair, at the end it leads to, through the mailbox (day or session, and direction) it
//     was sealed for, before it expires, opens exactly what was sealed. Anybody else, anywhere else or at any later
//     time opens nothing.
//   - What a process has accepted it never accepts again, whatever its clock does. A device holds what is on its disk.
//   - A device never believes a time that is more than a day before what its clock showed when it was last believed,
//     whatever the clock shows after the next start. And a clock that is wrong by itself, however often, never takes
//     that floor ahead of the true time.
//   - No key and nonce are used twice: no encapsulation and no keystream ever comes again, not even after a roll-back.
//
// The same is asked of session secrets, records and frames in package session (TestSessionModel), and of a relay's
// mailboxes in package signaling (TestRelayModel), each with an oracle of its own. CONTRIBUTING.md says how to look
// longer.
package model
