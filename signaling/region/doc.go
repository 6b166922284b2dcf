// Package region signs and reads an operator's map of regions: which relays there are, what they are called, and where
// their TURN servers are (doc/protocol.md, section 5.9). The operator signs the map with the key that also signs
// tickets, and every relay of that operator serves it. Devices know the key beforehand.
//
// A map holds no secret and names no device. A wrong, old or expired one only wastes a device's time: it grants devices
// no access. Relays, however, grant TURN by the keys in it, even after it has expired.
//
// It is not part of the SDK (doc/sdk.md): its API may change at any time.
package region
