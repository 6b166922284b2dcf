// Package turnbench measures our TURN server beside others under the same load (test/turnload): `make bench-turn`. The
// load and the servers have their own namespaces, and their own cores if there are two. doc/turn-benchmark.md says what
// was measured and how.
//
// It holds only tests. It promises that all servers get the same load, in turn, and that a figure is written only if
// the packets that it counts arrived where they belong. None of its tests judges a figure by the clock. It must never
// touch a network, a process or a core's settings that it did not make.
package turnbench
