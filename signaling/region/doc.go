// Package region is an operator's map of regions: which relays there are, what they are called, and where their TURN
// servers are (doc/protocol.md, section 5.9). The operator signs the map with the key that also signs tickets, every
// relay of that operator serves it, and whoever reads it knows the key beforehand.
//
// A map holds nothing that is secret, and nothing depends on its being right: a wrong, old or expired one costs time
// and opens nothing. It names no device, and regions learn nothing of each other by it.
//
// It is not part of the SDK (doc/sdk.md): its API may change at any time.
package region
