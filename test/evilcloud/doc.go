// Package evilcloud is a whole relay, in one node or several, that can be made to fail while it runs: in what it
// delivers, in every frame of signaling, in what it grants, in its TURN servers and its page, by losing everything it
// holds, and by handing all of that to somebody. It is for tests of what people see when a cloud mixes everything up,
// which is why this project exists, and for the mix-up test of 13,000 households.
//
// The relay inside is the real one: signaling/server, turn and the web page. Each fault acts where real failures
// happen: in the bus between mailboxes, in a proxy or cache before signaling and the page, in a table of grants, in the
// packets before a TURN server, in the process. The package counts what its faults did, so that a test can tell that
// they acted. It must never be linked into a command that people run.
package evilcloud
