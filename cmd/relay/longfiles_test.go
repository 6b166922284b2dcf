package main

import (
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/signaling"
)

// long is more bytes than any of a relay's files may have.
const long = signaling.MaxFile + 1

// writeLong writes a file of long bytes that begins with text.
func writeLong(t *testing.T, dir, name, text string) (path string) {
	t.Helper()
	path = filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text+strings.Repeat("\n", long-len(text))), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// The relay reads an operator's files only up to a bound, and refuses longer ones with a reason. Each file here would
// be valid without the line feeds at its end.
func TestLongFilesAreRefused(t *testing.T) {
	dir := t.TempDir()
	pem, err := makeCertificate("relay.example", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	certificate := writeLong(t, dir, "certificate.pem", string(pem))
	short := filepath.Join(dir, "short.pem")
	if err := os.WriteFile(short, pem, 0o600); err != nil {
		t.Fatal(err)
	}

	served := func(cert, key string) error {
		_, err := (&config{tlsCert: cert, tlsKey: key}).certificate("relay.example", time.Now())
		return err
	}
	if err := served(short, short); err != nil {
		t.Fatal(err)
	}

	for name, read := range map[string]func() error{
		"settings": func() error {
			_, err := parseConfig([]string{"-config", writeLong(t, dir, "settings", `{"node": "x"}`)}, io.Discard)
			return err
		},
		"operator key": func() error {
			writeLong(t, dir, operatorKeyFile.file, operatorKeyFile.prefix)
			_, err := operatorKey(dir)
			return err
		},
		"TURN secret":     func() error { _, err := readSecret(writeLong(t, dir, "secret", "")); return err },
		"certificate":     func() error { return served(certificate, short) },
		"certificate key": func() error { return served(short, certificate) },
		"self-signed certificate": func() error {
			_, err := selfSigned(certificate, "relay.example", time.Now())
			return err
		},
	} {
		if err := read(); err == nil ||
			!strings.Contains(err.Error(), "long") && !strings.Contains(err.Error(), "larger") {
			t.Errorf("%s of %d bytes: %v, want a sentence that says how long it is", name, long, err)
		}
	}
}

// The relay refuses any key or secret that others can read, by one rule for all of them.
func TestSecretsThatOthersCanReadAreRefused(t *testing.T) {
	dir := t.TempDir()
	if _, err := operatorKey(dir); err != nil {
		t.Fatal(err)
	}
	pem, err := makeCertificate("relay.example", time.Now())
	if err != nil {
		t.Fatal(err)
	}

	for name, text := range map[string]string{"secret": strings.Repeat("s", 32), certificateFile: string(pem)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}

	for name, read := range map[string]func(path string) error{
		operatorKeyFile.file: func(string) error { _, err := operatorKey(dir); return err },
		"secret":             func(path string) error { _, err := readSecret(path); return err },
		certificateFile: func(path string) error {
			_, err := selfSigned(path, "relay.example", time.Now())
			return err
		},
	} {
		path := filepath.Join(dir, name)
		if err := read(path); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := os.Chmod(path, 0o644); err != nil {
			t.Fatal(err)
		}

		if err := read(path); err == nil || !strings.Contains(err.Error(), "chmod 600") {
			t.Errorf("%s that others can read: %v", name, err)
		}
	}
}

// -memory limits the memory for signaling clients.
func TestMemoryFlagIsTheRelaysLimit(t *testing.T) {
	for flag, want := range map[string]int64{"": 1 << 30, "-memory=512": 512 << 20} {
		c, err := parseConfig(strings.Fields(flag), io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		cfg, err := c.relay(slog.New(slog.DiscardHandler))
		if err != nil || cfg.Memory != want {
			t.Errorf("relay serve %s: %d bytes (%v), want %d", flag, cfg.Memory, err, want)
		}
	}
}
