// Package punch makes a hole where ICE alone cannot: between two NATs one of which, or each of which, gives a socket another
// port for every destination, so that the port a STUN server sees is of no use to the other end.
//
//	spreader, behind a symmetric NAT                       seeker
//	socket 1 ── probe ─▶ :40321 ─────────────────────────▶ :50000   one socket, at an address that is known or foreseen
//	socket 2 ── probe ─▶ :1177  ─────────────────────────▶
//	   …                                :9, :61002, … ◀──── probes of guessed ports, one after the other
//	socket 256 ────────▶ :61002 ◀──────────────────────── a guess that is right comes in at one of the sockets
//	socket 256 ── answer ───────────────────────────────▶ and from then on carries what the agent sends to :50000
//
// Where the NAT's ports are random, the guesses are: the birthday problem. Each of M probes of different ports meets one of N open ones
// with N/64512, so 2048 probes and 256 sockets fail 3 times in 10,000. Where it counts its ports up, the two ends measure the count and
// foresee it, and a hundred probes do; even two such NATs can be crossed, but not one that is random and another that is symmetric.
//
// What an end may send in a run, which takes 12 s at most, and of which a session has one:
//
//	spreader   256 sockets, each 3 probes, then 8 answers    776 packets   200 a second
//	seeker     2048 probes and an answer to each that comes 2112 packets   200 a second
//
// A packet has 18 bytes, 46 with its headers: 97 kB. A process is the spreader of eight runs at one time at most, and the seeker of eight. The router in front of the
// seeker holds a mapping or filter entry for each probe until it expires, the spreader's one for each socket.
//
// It promises that the agent's sockets do what they did before, until a hole is found and after; that nothing is sent beyond the
// budget; and that a probe counts only with the token which the other end sealed. It must never be used by an end that hides its
// address, nor decide by itself that the other end wants probes.
package punch
