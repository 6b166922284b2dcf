package server

import (
	"testing"
	"time"

	"github.com/peephole-cam/peephole/signaling"
)

// BenchmarkWork measures the processor time that frames take in this package. The charge for a frame also covers the
// work of the connection and the kernel.
func BenchmarkWork(b *testing.B) {
	for name, frame := range map[string]func(s *Server, c *conn, mb signaling.Mailbox) signaling.Frame{
		"open": func(s *Server, c *conn, mb signaling.Mailbox) signaling.Frame {
			return signaling.SignOpen(s.cfg.PublicURL, c.nonce, mb, signaling.Read)
		},
		"forged open": func(_ *Server, c *conn, mb signaling.Mailbox) signaling.Frame {
			return signaling.SignOpen("https://another.example", c.nonce, mb, signaling.Read)
		},
		"post of 1 byte": func(_ *Server, _ *conn, mb signaling.Mailbox) signaling.Frame {
			return signaling.Post{ID: 1, Name: mb.Name(), TTL: 60, Body: []byte{1}}
		},
		"post of 40,000 bytes": func(_ *Server, _ *conn, mb signaling.Mailbox) signaling.Frame {
			return signaling.Post{ID: 1, Name: mb.Name(), TTL: 60, Body: make([]byte, signaling.MaxBody)}
		},
		"grant": func(_ *Server, _ *conn, mb signaling.Mailbox) signaling.Frame {
			return signaling.GrantRequest{ID: 1, Name: mb.Name()}
		},
		"ack": func(_ *Server, _ *conn, mb signaling.Mailbox) signaling.Frame {
			return signaling.Ack{Name: mb.Name(), Seq: 1}
		},
	} {
		b.Run(name, func(b *testing.B) {
			s := newServer(b, Config{Granter: granter{}, LoopbackUnlimited: true})
			c, mb := s.visit(b, "127.0.0.1"), newMailbox()
			open := signaling.SignOpen(s.cfg.PublicURL, c.nonce, mb, signaling.Write)
			if err := c.openMailbox(b.Context(), mb.Name(), open, time.Now()); err != nil {
				b.Fatal(err)
			}

			f := signaling.Append(nil, frame(s, c, mb))
			for b.Loop() {
				c.handleFrame(b.Context(), f)

				b.StopTimer()
				c.badSignatures, c.out.frames, c.out.bytes, c.out.replays = 0, nil, 0, nil
				for _, m := range s.store.next(mb.Name(), 0, 1, time.Now(), func() {}) {
					s.store.ack(mb.Name(), m.Seq)
				}
				b.StartTimer()
			}
		})
	}
}
