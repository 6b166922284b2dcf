package words

import (
	"bytes"
	"fmt"
	"math/bits"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The list has 2,048 words in order, none of which can be mistaken for another.
func TestListIsDistinct(t *testing.T) {
	if len(list) != 1<<wordBits || !slices.IsSorted(list) {
		t.Fatalf("%d words, sorted: %t; want %d in order", len(list), slices.IsSorted(list), 1<<wordBits)
	}

	plain, beginnings := regexp.MustCompile(`^[a-z]{4,8}$`), make(map[string]string)
	for _, w := range list {
		if !plain.MatchString(w) {
			t.Errorf("%q is not four to eight letters", w)
			continue
		}
		if other, taken := beginnings[w[:4]]; taken {
			t.Errorf("%q begins as %q does", w, other)
		}
		beginnings[w[:4]] = w
	}

	for i, w := range list {
		for _, other := range list[i+1:] {
			if oneEditApart(w, other) {
				t.Errorf("%q and %q are one letter apart", w, other)
			}
		}
	}
}

// oneEditApart reports whether inserting, removing or changing one letter turns a into b.
func oneEditApart(a, b string) bool {
	if len(a) > len(b) {
		a, b = b, a
	}
	if len(b)-len(a) > 1 {
		return false
	}

	same := 0
	for same < len(a) && a[same] == b[same] {
		same++
	}
	if len(a) == len(b) {
		return a[same+1:] == b[same+1:]
	}
	return a[same:] == b[same+1:]
}

// A word stands for eleven bits, most significant first, and for nothing after them.
func TestWordsSpellBits(t *testing.T) {
	for number := range list {
		b := []byte{byte(number >> 3), byte(number << 5)}
		for _, rest := range []byte{0, 0x1f} {
			if got := From([]byte{b[0], b[1] | rest}, 1); got[0] != list[number] {
				t.Fatalf("%d is spelled %q, want %q", number, got, list[number])
			}
		}
	}

	// Eleven words are eleven bytes: bit i of the whole is bit i of one word.
	for bit := range 11 * 8 {
		b := make([]byte, 11)
		b[bit/8] = 1 << (7 - bit%8)
		for i, w := range From(b, 8) {
			want := 0
			if i == bit/wordBits {
				want = 1 << (wordBits - 1 - bit%wordBits)
			}
			if w != list[want] {
				t.Errorf("bit %d makes word %d %q, want %q", bit, i, w, list[want])
			}
		}
	}

	if bits.Len(uint(len(list)-1)) != wordBits {
		t.Errorf("the list has %d words, and %d bits do not number them exactly", len(list), wordBits)
	}
}

// Too few bytes are a mistake in the program, and must not become words that anybody can foresee.
func TestTooFewBytesPanic(t *testing.T) {
	for _, tt := range []struct{ size, n int }{{0, 1}, {1, 1}, {4, 3}, {8, 6}} {
		func() {
			defer func() {
				if said := fmt.Sprint(recover()); !strings.Contains(said, "spell") {
					t.Errorf("%d words of %d bytes: %s", tt.n, tt.size, said)
				}
			}()
			From(bytes.Repeat([]byte{0xff}, tt.size), tt.n)
		}()
	}
	if got := From(make([]byte, 9), 6); len(got) != 6 {
		t.Errorf("nine bytes spell %q, want six words", got)
	}
}
