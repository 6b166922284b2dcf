// Package terminal tells what a command's output can show: whether it is a terminal, its size, and whether it has
// colours and UTF-8. It also reads what a person answers there.
//
// It promises that a terminal without UTF-8 gets ASCII, that anything else gets every byte unchanged, and that nothing
// that was typed before a question was shown counts as its answer.
package terminal
