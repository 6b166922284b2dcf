package main

import (
	"bytes"
	"encoding/base64"
	"testing"
)

// FuzzOperatorKey checks that a key has one spelling, except for the line feed at its end.
func FuzzOperatorKey(f *testing.F) {
	whole := operatorKeyFile.prefix + base64.RawURLEncoding.EncodeToString(bytes.Repeat([]byte{7}, 32))
	f.Add(whole + "\n")
	f.Add(whole)
	f.Add(whole[:30] + "\n" + whole[30:])
	f.Fuzz(func(t *testing.T, text string) {
		key, ok := operatorKeyFile.parse(text)
		if !ok {
			if key != nil {
				t.Error("a damaged file yields a key")
			}
			return
		}

		if spelled := operatorKeyFile.prefix + base64.RawURLEncoding.EncodeToString(key.Seed()); text != spelled &&
			text != spelled+"\n" {
			t.Errorf("%q is a second spelling of a key", text)
		}
	})
}
