package expiry

import (
	"crypto/rand"
	"encoding/hex"
	"sync"
	"time"

	"github.com/peephole-cam/peephole/clock"
)

// process stands for the boot of a machine that does not identify its boots.
var process = sync.OnceValue(func() (p struct {
	id    string
	began time.Duration
}) {
	id := make([]byte, 16)
	rand.Read(id)
	p.id, p.began = hex.EncodeToString(id), clock.SinceBoot()
	return p
})

func sinceStart() Boot { return Boot{process().id, clock.SinceBoot() - process().began} }
