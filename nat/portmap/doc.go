// Package portmap asks the household's router to open one UDP port of this host to the world for as long as it is
// needed, by PCP (RFC 6887), NAT-PMP (RFC 6886) or UPnP's Internet Gateway Device, whichever the router speaks.
//
//	host 192.168.1.20:50000                      router                     the world
//	  │ ── UDP port 50000, for ten minutes? ──────▶│
//	  │ ◀─────────────── yes, at 203.0.113.7:50000 │
//	  │ ◀──────────────────────────────────────────│ ◀── a peer that no hole could be punched to
//
// UPnP comes from github.com/huin/goupnp and NAT-PMP from github.com/jackpal/go-nat-pmp; both are maintained, small and
// without dependencies of their own. PCP exists only inside far larger modules, so its one message is written here.
//
// The package promises that a mapping ends with the context it was made for or, if this process is killed, within ten
// minutes; that it asks only the default gateway, and only at a private address; that it does not report an outside
// address which the world cannot reach, because the router is itself behind another one; and that every wait has a
// limit. It must never map a port that it was not asked for, make a mapping without an end, follow a router's
// redirection to another host, or log an address above debug level.
//
// It is not part of the SDK (doc/sdk.md): its API may change at any time.
package portmap
