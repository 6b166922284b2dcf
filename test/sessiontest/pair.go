package sessiontest

import (
	"crypto/rand"
	"testing"

	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/crypto/identity"
)

// Pair makes a camera and a viewer and pairs them. It returns the pair as each of the two keeps it.
func Pair(t testing.TB) (camera, viewer *envelope.Pair) {
	t.Helper()
	c, err := identity.Generate()
	if err != nil {
		t.Fatal(err)
	}
	v, err := identity.Generate()
	if err != nil {
		t.Fatal(err)
	}

	s, m := envelope.Secret(Random(32)), envelope.Secret(Random(32))
	return &envelope.Pair{
			Self:          c,
			Role:          identity.Camera,
			Peer:          v.Bundle(),
			Secret:        s,
			MailboxSecret: m,
		},
		&envelope.Pair{
			Self:          v,
			Role:          identity.Viewer,
			Peer:          c.Bundle(),
			Secret:        s,
			MailboxSecret: m,
		}
}

// Random returns n random bytes.
func Random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}
