package agent

import (
	"strings"
	"testing"
)

func TestSecondCameraCannotUseTheState(t *testing.T) {
	dir := t.TempDir()
	release, err := lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lock(dir); err == nil || !strings.Contains(err.Error(), "another camera is already using") {
		t.Errorf("a second lock: %v", err)
	}

	release()
	again, err := lock(dir)
	if err != nil {
		t.Fatalf("after the first is gone: %v", err)
	}
	again()
}
