// Package archtest keeps the shape of the source tree true: who may import whom, that the relay cannot open what it
// carries, names, package comments and the length of files.
//
// The rules are pure functions over a picture of the tree, so that a table can plant each fault and see its rule turn
// red. The picture is read from the source of every file, whatever its build constraints, and needs nothing to
// compile. The package holds tests only; nothing may import it.
package archtest
