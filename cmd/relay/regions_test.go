package main

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/peephole-cam/peephole/signaling/region"
)

// What relay regions sign prints is what relay serve -regions serves, and the metrics say when it expires.
func TestSignedMapIsServed(t *testing.T) {
	dir := t.TempDir()
	list, file := filepath.Join(dir, "regions.toml"), filepath.Join(dir, "regions.map")
	const one = "[[region]]\nname = 'one'\nurl = 'https://one.example'\nturn = 'one.example:3478'\n"
	if err := os.WriteFile(list, []byte(one), 0o600); err != nil {
		t.Fatal(err)
	}
	var signed, said bytes.Buffer
	if err := regionsCommand([]string{"sign", "-state", dir, list}, &signed, &said); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, signed.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}

	s := serveRelay(t, "-regions", file)
	if _, body := get(t, http.DefaultClient, s.url+region.Path); body != signed.String() {
		t.Errorf("served %q, want %q", body, &signed)
	}
	_, metrics := get(t, http.DefaultClient, s.url+"/metrics")
	if !strings.Contains(metrics, "\npeephole_regions_expire_seconds ") {
		t.Errorf("no time of expiry in\n%s", metrics)
	}
}
