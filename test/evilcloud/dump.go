package evilcloud

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"log/slog"
	"sync"
	"time"

	"github.com/peephole-cam/peephole/signaling"
)

// Dump is everything that a running relay has, in the hands of an intruder. A test of cmd/relay covers what that has on
// its disk besides: the operator's key and a certificate.
type Dump struct {
	Posted   []Posted           // what is or was in queues, as far as Config.Remember goes
	Log      []byte             // at debug level, as far as Config.Remember goes
	Secrets  [][]byte           // what each node's TURN credentials are made from
	Operator ed25519.PrivateKey // signs tickets
}

// Dump returns everything.
func (c *Cloud) Dump() Dump {
	d := Dump{Posted: c.Posted(), Log: c.log.bytes(), Operator: c.operator}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, n := range c.nodes {
		d.Secrets = append(d.Secrets, bytes.Clone(n.secret))
	}
	return d
}

// Ticket admits a household's mailboxes, if Config.Tickets demands one.
func (c *Cloud) Ticket() []byte {
	t := signaling.Ticket{NotAfter: time.Now().Add(time.Hour), Mailboxes: 256, SessionsPerHour: 600}
	rand.Read(t.ID[:])
	return t.Issue(c.operator)
}

// logs keeps the end of what is logged.
type logs struct {
	size int

	mu   sync.Mutex
	text []byte // guarded by mu
}

// Write implements io.Writer.
func (l *logs) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, b...)
	l.text = l.text[max(0, len(l.text)-l.size):]
	return len(b), nil
}

func (l *logs) bytes() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Clone(l.text)
}

// logger returns the logger of the relay's parts. It passes lines to every listener, at the listener's own level.
func (c *Cloud) logger() *slog.Logger {
	debug := &slog.HandlerOptions{Level: slog.LevelDebug}
	var all []slog.Handler
	if c.cfg.Logger != nil {
		all = append(all, c.cfg.Logger.Handler())
	}

	if c.cfg.Remember > 0 {
		all = append(all, slog.NewTextHandler(&c.log, debug))
	}
	if c.cfg.Tape != nil {
		all = append(all, slog.NewTextHandler(c.cfg.Tape, debug))
	}

	return slog.New(slog.NewMultiHandler(all...))
}
