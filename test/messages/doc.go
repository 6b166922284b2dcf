// Command messages maintains the table of everything that Peephole says to a person, doc/messages.md: on the page, in a
// terminal, in the camera's and the relay's log, and in a doctor's lines.
//
//	messages [-write] [ROOT]
//
// The sentences come from the code, the explanations from the files in explained/, one entry for each sentence. The
// command fails if a sentence has no entry, an entry no sentence, or a sentence no test that brings it about, or if the
// table is not what these make. With -write it writes the table first.
//
// In Go, every string in a room (rooms.go) that reads like text is a sentence, unless its place shows that nobody sees
// it: a debug line, a regular expression, something that is compared or looked for, a flag's help. Strings that are
// concatenated are one sentence, with "…" for what is filled in. An error that only says where another one happened
// ("read config: %w") is part of that other one. In TypeScript a sentence begins with a capital letter, or is passed to
// a function that shows it; in HTML it is the text of an element. Text that nobody sees is listed in
// explained/unshown.txt, with the reason.
//
// A test brings a sentence about if its source has words that only this sentence has, or the name of the variable that
// holds it. The command reads tests; it does not run them.
package main
