// Package expiry keeps the time by which a device judges what has expired: the machine's clock, but never earlier than
// the floor that the device keeps on its disk (doc/protocol.md, section 4.1). A camera without a battery boots in 1970.
// That must not make it accept what was sealed for it months ago and recorded since.
//
// A floor in the future would be worse than none, since nothing would open. So it rises with care:
//
//   - Only the machine's own clock raises it. Another device can confirm that clock, but never replaces it.
//   - It stays a day behind what that clock showed.
//   - A clock that is more than a day ahead of what the machine has counted since its start raises nothing until
//     another device of a pair has confirmed it.
//
// It never falls. To lower it, because a wrong clock was confirmed, a person deletes the file.
//
// It is not part of the SDK (doc/sdk.md): its API may change at any time.
package expiry
