// Package nat finds out how the NAT in front of this machine behaves, by asking STUN servers (RFC 4787, RFC 5780).
//
// A [Socket] is one local UDP port. What it looks like from two places says how the NAT maps it ([Socket.Mapping]); what
// reaches it from where it has sent nothing says what the NAT lets in ([Socket.Filtering]); and whether a second socket
// reaches it at its outside address says whether the NAT hairpins ([Socket.Hairpins]).
//
// [Socket.Largest] says how large a packet gets to a server and back.
//
// It promises to send to the addresses that it is given, and to test a hairpin to its own outside one, a few packets of less
// than 100 bytes each (to measure their size, some dozens of up to 1,500), and that an answer it did not ask for changes nothing. It must never log an address.
package nat
