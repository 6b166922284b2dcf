// Trial runs a command on a leash, once or several times in a row, with busy loops beside it.
//
//	trial [-runs N] [-busy N] [-logs DIR] COMMAND [ARGUMENT…]
//
// Everything that the command starts ends with it, and also when trial is interrupted or killed (package leash). A run
// fails if the command does, or if it leaves a process or a temporary file behind. With several runs, the output of
// each goes to a file of its own in DIR; trial prints a line for each run, its last, and stops at the first that fails.
// The busy loops are threads of trial: they show how a test behaves on a machine that has other things to do.
package main
