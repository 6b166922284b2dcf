// Package terminal tells what a command's output can show: whether it is a terminal, its size, and whether it has
// colours and UTF-8.
//
// It promises that a terminal without UTF-8 gets ASCII, and that anything else gets every byte unchanged.
package terminal
