package main

import (
	"io"
	"os"
	"path/filepath"
	"testing"
)

// If several settings cannot work, the error always names the same one.
func TestFirstErrorIsAlwaysTheSame(t *testing.T) {
	wrong := []string{
		"-listen=7880", "-turn=x", "-turn-public=relay.example", "-turn-tls=y", "-metrics=z", "-tls-cert=cert.pem",
		"-admission=some", "-node=my relay", "-drain-to=relay.example", "-trusted-proxies=relay.example", "-state=",
	}
	settings := filepath.Join(t.TempDir(), "relay.json")
	const text = `{"z": "1", "y": "2", "listen": 443, "turn-mbit": "many", "x": "3", "metric": "4", "admission": []}`
	if err := os.WriteFile(settings, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}

	for name, tt := range map[string]struct {
		args []string
		want string
	}{
		"flags":             {wrong, `-listen "7880": want HOST:PORT, such as 127.0.0.1:7880 or :443`},
		"all but the first": {wrong[1:], `-turn "x": want HOST:PORT, such as 127.0.0.1:7880 or :443`},
		"a file": {[]string{"-config", settings},
			"read config file " + settings + `: setting "admission": want a string, true or false`},
	} {
		for range 50 { // in a random order, another error would turn up
			if _, err := parseConfig(tt.args, io.Discard); err == nil || err.Error() != tt.want {
				t.Fatalf("%s: says %v\nwant %q", name, err, tt.want)
			}
		}
	}
}
