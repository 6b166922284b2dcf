package printable

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// The page does the same with the same text: web/test/unit/printable.test.ts reads this file too.
func TestSharedCasesAreShownAlike(t *testing.T) {
	b, err := os.ReadFile("testdata/cases.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		What, In, Name, Text, Lines string
		Repeat                      int // how often In is repeated; 0: it is not, and Lines is set
	}
	if err := json.Unmarshal(b, &cases); err != nil {
		t.Fatal(err)
	}

	for _, c := range cases {
		in := strings.Repeat(c.In, max(c.Repeat, 1))
		if got := Name(in); got != c.Name {
			t.Errorf("%s: name %q, want %q", c.What, got, c.Name)
		}
		if err := CheckName(in); (err == nil) != (in == c.Name) {
			t.Errorf("%s: checked as a name: %v", c.What, err)
		}

		if got := Text(in); got != c.Text {
			t.Errorf("%s: text %q, want %q", c.What, got, c.Text)
		}
		if got := Lines(in); c.Repeat == 0 && got != c.Lines {
			t.Errorf("%s: lines %q, want %q", c.What, got, c.Lines)
		}
	}

	if len(cases) < 20 {
		t.Errorf("only %d cases", len(cases))
	}
}

// An error of any length keeps its line breaks, and loses everything else that a terminal obeys.
func TestLinesKeepLineBreaksAlone(t *testing.T) {
	long := strings.Repeat("x", 2*MaxText)
	in := "open input:\n\t" + long + "\r\n\x1b[2J\u202e\xff done"
	if got, want := Lines(in), "open input:\n\t"+long+"?\n?[2J?? done"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// What is written piece by piece arrives whole, and an error of the writer underneath is returned.
func TestWriterPassesOnLines(t *testing.T) {
	var got strings.Builder
	w := Writer(&got)
	for _, piece := range []string{"porch\x1b[2J\n", "", "\u202edone\n"} {
		if n, err := io.WriteString(w, piece); n != len(piece) || err != nil {
			t.Errorf("write %q: %d, %v", piece, n, err)
		}
	}

	if got.String() != "porch?[2J\n?done\n" {
		t.Errorf("wrote %q", got.String())
	}

	full := errors.New("disk full")
	if n, err := io.WriteString(Writer(failing{full}), "x"); n != 0 || !errors.Is(err, full) {
		t.Errorf("write to a full disk: %d, %v", n, err)
	}
}

type failing struct{ error }

func (f failing) Write([]byte) (int, error) { return 0, f.error }

// FuzzText: whatever comes in, what is shown is short, cannot play with a terminal or a page, and does not change when
// it goes through again.
func FuzzText(f *testing.F) {
	for _, seed := range []string{
		"front door", "\x1b[2J", "\u202egnp.exe", "a\r\nb", "\xff\xfe", strings.Repeat("é", 400), "\u200b\ufeff",
		"\u115f\u3164", "  x ",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for what, show := range map[string]struct {
			as   func(string) string
			most int
		}{"name": {Name, MaxName}, "text": {Text, MaxText}} {
			got := show.as(s)
			if utf8.RuneCountInString(got) > show.most || strings.IndexFunc(got, plays) >= 0 {
				t.Errorf("%s %q is shown as %q", what, s, got)
			}
			if again := show.as(got); again != got {
				t.Errorf("%s %q is shown as %q, and that as %q", what, s, got, again)
			}
		}

		got := Lines(s)
		inLine := strings.NewReplacer("\n", "", "\t", "").Replace(got)
		if strings.IndexFunc(inLine, plays) >= 0 || Lines(got) != got {
			t.Errorf("lines %q are shown as %q", s, got)
		}

		if utf8.ValidString(s) && strings.IndexFunc(s, plays) < 0 && Lines(s) != s {
			t.Errorf("%q is harmless, but is shown as %q", s, Lines(s))
		}
	})
}

// plays reports whether the package must take out r. It goes by Unicode's properties, not by the package's own rule.
func plays(r rune) bool {
	return unicode.In(r, unicode.C, unicode.Zl, unicode.Zp, unicode.Bidi_Control, unicode.Join_Control) ||
		unicode.Is(unicode.Zs, r) && r != ' ' || !unicode.IsGraphic(r) ||
		strings.ContainsRune("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0\ufffd", r)
}
