// Dcutr is a stock host of go-libp2p on a machine of the NAT lab, to measure how its hole punching (DCUtR, over QUIC)
// does beside our ICE. Its processes play three roles:
//
//	camera, behind a router           relays, with public addresses          viewer, behind a router
//	  │ ── identify: which address do you see? ──▶ │ ◀── identify ───────────────────── │
//	  │ ◀── AutoNAT: do you get in by itself? ──── │ ──── AutoNAT ───────────────────▶ │
//	  │ ── RESERVE ──────────────────────────────▶ │                                    │
//	  │ ◀───────────────────────────── /p2p-circuit ─────────── a line of input ─────── │   the clock starts
//	  │ ◀═══════════════════════ a direct connection, or none ════════════════════════▶ │   and stops
//
// Everything that go-libp2p offers for a direct connection is on, except for mDNS, port mapping and AutoRelay, which
// would search the network around it. Hosts wait until they know their addresses and whether these are reachable:
// otherwise they dial in vain for 5 s before they punch a hole. None of that counts, since an attempt begins once the
// connection to the relay stands.
//
// Each relay needs an address of its own, for a host believes only what four observers see
// (observedaddrs.ActivationThresh), and asks each AutoNAT server once in two minutes, up to three for each address: so
// four relays are enough for ends with one version of IP, and six for others.
//
// Each attempt has two hosts of its own, with ports that no router has seen before.
//
// Only tests may run it, in namespaces that they made.
package main
