// Package portmap asks the household's router to let the world in to one UDP port of this host, for as long as somebody
// needs it: by PCP (RFC 6887), NAT-PMP (RFC 6886) or UPnP's Internet Gateway Device, whichever the router speaks.
//
//	host 192.168.1.20:50000                      router                     the world
//	  │ ── UDP port 50000, for ten minutes? ──────▶│
//	  │ ◀─────────────── yes, at 203.0.113.7:50000 │
//	  │ ◀──────────────────────────────────────────│ ◀── a peer that no hole could be punched to
//
// UPnP is github.com/huin/goupnp, NAT-PMP github.com/jackpal/go-nat-pmp: both are maintained, small and without modules of
// their own. No module for PCP can be had but as part of a far larger one; its one message is written here.
//
// It promises that a mapping ends with the context it was asked for, or when this process is killed within ten minutes; that
// nobody is asked but the default gateway, at a private address; that an address which the world does not reach (the router
// is itself behind another) is not handed on; and that nothing waits without a limit. It must never map a port that it was not
// asked for, make a mapping without an end, follow a router's word to another host, or log an address above debug level.
package portmap
