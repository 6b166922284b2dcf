// Package punch makes a hole where ICE alone cannot: between two NATs of which one or both give a socket a different
// port for every destination. Then the port that a STUN server sees is of no use to the other end.
//
//	spreader, behind a symmetric NAT                       seeker
//	socket 1 ── probe ─▶ :40321 ─────────────────────────▶ :50000   one socket, at a known or predicted address
//	socket 2 ── probe ─▶ :1177  ─────────────────────────▶
//	   …                                :9, :61002, … ◀──── probes of guessed ports, one after the other
//	socket 256 ────────▶ :61002 ◀──────────────────────── a right guess arrives at one of the sockets
//	socket 256 ── answer ───────────────────────────────▶ and from then on carries what the agent sends to :50000
//
// If the NAT picks ports at random, so does the seeker: the birthday problem. Each of its probes goes to another port
// and meets one of N open ones with probability N/64512, so 2048 probes against 256 sockets fail 3 times in 10,000. If
// the NAT counts its ports up, the two ends measure the count and predict it, and a hundred probes will do. Two NATs
// that count can be crossed too; a random one and another symmetric one cannot.
//
// A session has one run, of at most 12 s. In it an end may send:
//
//	spreader   256 sockets, each 3 probes, then 8 answers    776 packets   200 a second
//	seeker     2048 probes and an answer to each that comes 2112 packets   200 a second
//
// A packet has 18 bytes, 46 with its headers, so a run sends 97 kB at most. A process takes part in at most eight runs
// as spreader and eight as seeker at a time. The seeker's router holds a mapping or filter entry for each probe until
// it expires, the spreader's router one for each socket.
//
// The package promises that the agent's sockets go on working as before, that nothing is sent beyond the budget, and
// that a probe counts only if it carries the token that the other end sealed. An end that hides its address must never
// use it, and it must never decide by itself that the other end wants probes.
//
// It is not part of the SDK (doc/sdk.md): its API may change at any time.
package punch
