// Package path finds out which way a session's media takes, and why it takes no better one, and puts that into a
// sentence for a person. Only [TriggeredCheck] acts: it makes pion look at its candidate pairs as soon as there is
// something to see.
//
// It promises that both ends, and the page, explain the same facts with the same sentence (testdata/explain.json). It
// must never put an address into an explanation unless the person at this device asks for it.
//
// It is not part of the SDK (doc/sdk.md): its API may change at any time.
package path
