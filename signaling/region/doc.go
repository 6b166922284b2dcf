// Package region signs and reads an operator's map of regions: which relays there are, what they are called, and where
// their TURN servers are (doc/protocol.md, section 5.9). The operator signs the map with the key that also signs
// tickets, and every relay of that operator serves it. Devices know the key beforehand.
//
// A map holds no secret and names no device. To a device, a wrong, old or expired map wastes time and grants no access.
//
// It is not part of the SDK (doc/sdk.md): its API may change at any time.
package region
