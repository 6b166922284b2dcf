package turnclient

import (
	"testing"

	"github.com/peephole-cam/peephole/test/noleak"
)

// TestMain fails if a test has left a goroutine behind.
func TestMain(m *testing.M) { noleak.Main(m) }
