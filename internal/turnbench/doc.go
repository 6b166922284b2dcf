// Package turnbench measures our TURN server beside others, all under one load (internal/turnload): `make bench-turn`.
// The load and the servers are in namespaces of their own, and on cores of their own where there are two. doc/turn-benchmark.md
// says what was measured and how it is counted.
//
// It holds tests alone. It promises that all servers are asked for the same, by turns, and that a figure is written
// only if the packets that it counts arrived where they belong; no test of it judges a figure by the clock.
// It must never touch a network, a process or a core's settings that it did not make.
package turnbench
