package session

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/peephole-cam/peephole/session/handshake"
)

// What a camera says about itself is shown to a person, so it must not control the terminal.
func TestCameraCannotControlTheTerminal(t *testing.T) {
	camera, viewer := agreedKeys(t)
	const bad = "\x1b[2Jcamera"
	var said []string
	v := &Viewer{records: viewer, greeted: true, cfg: ViewerConfig{OnStatus: func(s Status) {
		said = append(said, s.Code, s.Text)
	}}}
	wire := sealedRecord(t, camera.Data, handshake.Message{Type: "status", Code: bad, Text: bad})
	if err := v.dataArrived(t.Context(), wire); err != nil {
		t.Fatal(err)
	}

	err := v.dataArrived(t.Context(), sealedRecord(t, camera.Data, handshake.Message{Type: "bye", Reason: bad}))
	if !errors.Is(err, ErrEnded) {
		t.Fatalf("bye: %v", err)
	}
	said = append(said, err.Error(), fmt.Sprint(&handshake.Refusal{Text: bad}))
	for _, text := range said {
		if strings.Contains(text, "\x1b") || !strings.Contains(text, "camera") {
			t.Errorf("shown: %q", text)
		}
	}

	if len(said) != 4 {
		t.Errorf("%d texts were shown, want 4", len(said))
	}
}
