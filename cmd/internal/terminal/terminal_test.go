package terminal

import (
	"os"
	"path/filepath"
	"testing"
)

func TestLocaleSaysWhetherThereIsUTF8(t *testing.T) {
	for _, tt := range []struct {
		all, ctype, lang string
		want             bool
	}{
		{"", "", "de_DE.UTF-8", true},
		{"", "", "C.utf8", true},
		{"", "en_US.UTF-8", "C", true},
		{"", "", "de_DE.ISO-8859-1", false},
		{"", "", "de_DE@euro", false},
		{"", "", "C", false},
		{"", "", "", false},
		{"POSIX", "en_US.UTF-8", "en_US.UTF-8", false},
		{"", "de_DE", "en_US.UTF-8", false},
		{"C.UTF-8", "C", "C", true},
	} {
		env := map[string]string{"LC_ALL": tt.all, "LC_CTYPE": tt.ctype, "LANG": tt.lang}
		if got := hasUTF8(func(name string) string { return env[name] }); got != tt.want {
			t.Errorf("%v: %t", env, got)
		}
	}
}

func TestTextIsSpelledInASCII(t *testing.T) {
	for text, want := range map[string]string{
		"did you mean rtsp://admin:…@cam/…?": "did you mean rtsp://admin:...@cam/...?",
		"“Küche” – 5 µs\n":                   "\"K?che\" - 5 us\n",
		"\xff\x1b[0m":                        "?\x1b[0m",
	} {
		if got := ASCII(text); got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
	}
}

// TestFileGetsEveryByte: whatever the locale, a file gets every byte, since it is not a terminal.
func TestFileGetsEveryByte(t *testing.T) {
	t.Setenv("LC_ALL", "C")
	path := filepath.Join(t.TempDir(), "out")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()

	const text = "Küche\xff…\n"
	out := New(file)
	if n, err := out.Write([]byte(text)); n != len(text) || err != nil || out.IsTerminal() || out.HasUTF8() {
		t.Errorf("%d, %v, %+v", n, err, out)
	}

	if got, err := os.ReadFile(path); string(got) != text {
		t.Errorf("%q, %v", got, err)
	}
}
