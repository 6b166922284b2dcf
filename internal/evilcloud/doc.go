// Package evilcloud is a whole relay, in one node or several, that can be made to fail while it runs: at what it delivers, at every frame of
// signaling, at what it grants, at its TURN servers and its page, by losing all it holds, and by handing all it holds to somebody. It is for
// tests of what people see when a cloud mixes everything up, the thing this project exists for, and for the mix-up test of 13,000 households.
//
// The relay inside is the real one: signaling/server, turn and the web page. Each fault acts at a seam that a real failure has: the bus between
// mailboxes, a proxy or cache before signaling and the page, what a table says of a grant, the packets before a TURN server, the process. It counts what its
// faults did, so that a test can tell that they did. It must never be linked into a command that people run.
package evilcloud
