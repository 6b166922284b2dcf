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

// What relay regions key prints belongs into regions.toml, and stays the same.
func TestRegionHasOneKey(t *testing.T) {
	dir := t.TempDir()
	list := filepath.Join(dir, "regions.toml")
	var first, second, signed, shown bytes.Buffer
	for _, out := range []*bytes.Buffer{&first, &second} {
		if err := regionsCommand([]string{"key", "-state", dir}, out, nil); err != nil {
			t.Fatal(err)
		}
	}
	if first.String() != second.String() {
		t.Errorf("%q, then %q", &first, &second)
	}

	const one = "[[region]]\nname = 'one'\nurl = 'https://one.example'\nturn = 'one.example:3478'\n"
	if err := os.WriteFile(list, []byte(one+first.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := regionsCommand([]string{"sign", "-state", dir, list}, &signed, &shown); err != nil {
		t.Fatal(err)
	}
	shown.Reset()
	file := filepath.Join(dir, "regions.map")
	if err := os.WriteFile(file, signed.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := regionsCommand([]string{"show", file}, &shown, nil); err != nil {
		t.Fatal(err)
	}
	if key := strings.Split(first.String(), `"`)[1]; !strings.Contains(shown.String(), "key "+key) {
		t.Errorf("no %s in\n%s", key, &shown)
	}

	seed, err := regionSeed(dir)
	if err != nil || len(seed) != 32 {
		t.Errorf("%d bytes, %v", len(seed), err)
	}
	const missing = "; make one with relay regions key, and sign the map with it"
	if _, err := regionSeed(t.TempDir()); err == nil || !strings.HasSuffix(err.Error(), missing) {
		t.Errorf("without a key: %v", err)
	}

	if err := os.WriteFile(filepath.Join(dir, "region.key"), []byte("peephole-region-1 torn"), 0o600); err != nil {
		t.Fatal(err)
	}
	const loss = "a new one must be put into your map of regions before other regions can grant TURN here"
	if _, err := regionSeed(dir); err == nil || !strings.Contains(err.Error(), "damaged region key") ||
		!strings.HasSuffix(err.Error(), loss) {
		t.Errorf("a torn key: %v", err)
	}
	const surplus = `unexpected argument "x"; see relay regions key -h`
	if err := regionsCommand([]string{"key", "x"}, nil, nil); err == nil || err.Error() != surplus {
		t.Errorf("an argument: %v", err)
	}
}
