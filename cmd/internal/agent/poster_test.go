package agent

import (
	"slices"
	"strings"
	"testing"
)

// The text beside the QR code says what to do with it, and whose it is, unless the name is so wide that it could push
// the code off the screen.
func TestPosterSaysWhatToDo(t *testing.T) {
	for name, who := range map[string]string{
		"front door":   `"front door"`,
		"\u53f0\u6240": "this camera",
	} {
		lines := besideQR(name, "apple pear plum", 30)
		text := strings.Join(strings.Fields(strings.Join(lines, " ")), " ")
		for _, want := range []string{
			"Scan this with the phone that will watch " + who + ", or open the link above.",
			"It asks before it adds the camera, and shows these three words: apple pear plum",
			"Meanwhile log lines wait; the last line shows the newest.",
		} {
			if !strings.Contains(text, want) {
				t.Errorf("%s: says %q\nwant %q", name, text, want)
			}
		}
		if slices.ContainsFunc(lines, func(line string) bool { return len([]rune(line)) > 30 }) {
			t.Errorf("%s: wider than 30 columns: %q", name, lines)
		}
	}
}
