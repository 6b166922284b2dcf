// Package words spells bytes as English words, so that people can compare by eye and ear what two devices show
// (doc/protocol.md, section 3.4). It has one list of 2,048 words, eleven bits each, which the web page shares.
//
// It promises that every word is common, has 4 to 8 letters from a to z, is determined by its first four letters, and
// sounds and looks like no other on the list. It does not know what the bytes mean: a caller whose words must prove
// something must ensure that nobody could choose the bytes.
//
// It is not part of the SDK (doc/sdk.md): its API may change at any time.
package words

import (
	_ "embed"
	"fmt"
	"strings"
)

//go:embed words.txt
var text string

// list holds the words in the order of their numbers. It never changes: a word's number is part of the format.
var list = strings.Fields(text)

// wordBits is how many bits a word stands for.
const wordBits = 11

// From returns the first n × 11 bits of b, most significant first, as n words. It panics if b is shorter than that.
func From(b []byte, n int) []string {
	if len(b)*8 < n*wordBits {
		panic(fmt.Sprintf("spell %d words: only %d bytes", n, len(b)))
	}

	spelled := make([]string, n)
	for i := range spelled {
		number := 0
		for bit := i * wordBits; bit < (i+1)*wordBits; bit++ {
			number = number<<1 | int(b[bit/8]>>(7-bit%8)&1)
		}
		spelled[i] = list[number]
	}

	return spelled
}
