// Package turnclient has everything with which a session's ICE agent reaches the world: the sockets of its host
// candidates, and the connections of its TURN clients over UDP, TCP and TLS. pion's own would ask the relay for what it
// refuses, wait for a relay that has died, try TCP before UDP had its chance, trust only the system's roots, and ignore
// proxies.
//
// It promises that a dead relay holds up no session, and that a host candidate sends nothing to a relayed address. It
// must never tell anybody except the relay an address of this end.
//
// It is not part of the SDK (doc/sdk.md): its API may change at any time.
package turnclient
