package session

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"Haustür, 門 📷":                      "Haustür, 門 📷",
		"\x1b]0;owned\x07\r\nno video":      "?]0;owned???no video",
		"\u202egpj.live \x9b2J":             "?gpj.live ?2J",
		strings.Repeat("é", maxPrintable+9): strings.Repeat("é", maxPrintable),
	} {
		if got := Printable(in); got != want {
			t.Errorf("%q is shown as %q, want %q", in, got, want)
		}
	}
}

// What a camera says about itself is shown to a person: it cannot play with the terminal.
func TestCameraCannotPlayWithTheTerminal(t *testing.T) {
	s := testSecret(t)
	ours, theirs := s.recordKeys(2), s.recordKeys(1)
	const bad = "\x1b[2Jcamera"
	var said []string
	v := &Viewer{records: theirs, greeted: true, cfg: ViewerConfig{OnStatus: func(s Status) { said = append(said, s.Code, s.Text) }}}
	wire := sealed(t, ours.data.out, message{Type: "status", Code: bad, Text: bad})
	if err := v.dataArrived(t.Context(), wire); err != nil {
		t.Fatal(err)
	}
	err := v.dataArrived(t.Context(), sealed(t, ours.data.out, message{Type: "bye", Reason: bad}))
	if !errors.Is(err, ErrEnded) {
		t.Fatalf("bye: %v", err)
	}
	said = append(said, err.Error(), fmt.Sprint(&Refusal{Text: bad}))
	for _, text := range said {
		if strings.Contains(text, "\x1b") || !strings.Contains(text, "camera") {
			t.Errorf("shown: %q", text)
		}
	}
	if len(said) != 4 {
		t.Errorf("%d texts were shown, want 4", len(said))
	}
}
