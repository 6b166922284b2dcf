// Package e2e holds whole-system scenarios: real relays, cameras and viewers on loopback and in network namespaces, and
// tests in which the relay is wrong, hacked or curious. It has no code of its own.
package e2e
