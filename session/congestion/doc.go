// Package congestion decides when a packet may leave. Usual congestion control finds out what a path carries by making
// the encoder send more until it is too much, but a camera sends what its encoder makes. So the [Pacer] measures: while
// packets wait in a queue on the way, they arrive at exactly the rate of the narrowest line.
//
// It promises that no queue on the way gets long, and that it notices when a path carries more. It knows only the
// number and size of packets, and must never see what is in them.
//
// It is not part of the SDK (doc/sdk.md): its API may change at any time.
package congestion
