// Package netlimit shares scarce things fairly among anonymous clients: bytes, connections, mailboxes, allocations,
// and rates such as signatures a second.
//
// It counts a client by what the client cannot choose freely: its IPv4 address, or its IPv6 /64. Whoever has one /64
// often has a whole /56 or /48, so those are counted as well (see PayerOf). Payers that an operator knows, such as
// tickets, are counted by name and belong in a pool of their own.
//
// At each of its levels, a payer may hold at most this much, and never more than a fixed maximum:
//
//	held ≤ Free × free² / size
//
// While little is in use, this binds nobody. As less is free, the threshold falls, and the payers above it, the
// heaviest, are refused first; a newcomer is below it. Nothing is ever taken back from a payer. However greedy n payers
// are, one after the other and for good, they leave at least 1/(1+Free×n) of the whole free: with Free = ¼, four of
// them leave a half and sixteen leave a fifth. (Network switches share their memory by a threshold that falls with the
// free space, without searching for the heaviest user: Choudhury and Hahne, "Dynamic Queue Length Thresholds", 1998.
// Theirs is linear, for queues that drain. Nothing is taken back here, so a linear threshold would leave only 0.8^n.)
//
// A Pool holds amounts until they are given back; in a Rate they fade with time. To be sure of an amount later, acquire
// it at the start: a payer is refused then or never.
//
// Each operation takes a constant number of steps, and Config.Payers bounds the memory of a pool. Pools and rates are
// safe for concurrent use. The package imports nothing else of this module, so that everything that faces the network
// can use it; it must never see more of a client than its address.
//
// It is not part of the SDK (doc/sdk.md): its API may change at any time.
package netlimit
