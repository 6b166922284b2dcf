// Package archtest keeps the shape of the source tree: who may import whom, that the relay cannot open what it carries,
// names, package comments, the length of files, the width of lines, and paragraphs in functions.
//
// The rules are pure functions over a picture of the tree, so that a table can plant each fault and see its rule turn
// red. The picture is read from the source of every file, whatever its build constraints; nothing has to compile. The
// package holds only tests; nothing may import it.
package archtest
