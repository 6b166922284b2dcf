// Package nat finds out how the NAT in front of this machine behaves by asking STUN servers (RFC 4787, RFC 5780).
//
// A [Socket] is one local UDP port. Comparing how two servers see it tells how the NAT maps it ([Socket.Mapping]).
// Packets from an address that it never sent to tell what the NAT lets in ([Socket.Filtering]). A second socket that
// sends to the first one's mapped address tells whether the NAT hairpins ([Socket.Hairpins]). [Socket.Largest] finds
// the largest packet that reaches a server and comes back.
//
// The package promises to send only to the addresses it is given and, to test hairpinning, to its own mapped address: a
// few packets of less than 100 bytes each, or some dozens of up to 1,500 to measure their size. An answer that it did
// not ask for changes nothing. It must never log an address.
//
// It is not part of the SDK (doc/sdk.md): its API may change at any time.
package nat
