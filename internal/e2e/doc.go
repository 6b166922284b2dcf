// Package e2e holds whole-system scenarios: real relays, cameras and viewers on loopback, and tests that stand in the
// place of a relay that is wrong, hacked or curious. It has no code of its own.
package e2e
