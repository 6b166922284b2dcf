// Package cli is what the commands' command lines share: help that fits on a screen and begins with an example, the
// version, numbers with a range, and the default place for state.
//
// It promises that package flag prints nothing by itself: it returns errors, from which the command removes secrets.
// What a person asked for, help or version, goes to standard output.
package cli
