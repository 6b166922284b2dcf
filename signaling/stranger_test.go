package signaling_test

import (
	"context"
	"crypto/ed25519"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/coder/websocket"
	"pgregory.net/rapid"

	"github.com/peephole-cam/peephole/crypto/label"
	"github.com/peephole-cam/peephole/signaling"
)

// stranger is the connection of somebody who has no mailbox's private keys.
type stranger struct {
	ws    *websocket.Conn
	nonce [32]byte
	done  chan struct{}

	mu     sync.Mutex
	frames []signaling.Frame // guarded by mu
}

func dialStranger(r *relay) (*stranger, error) {
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context,
		_, _ string) (net.Conn, error) {
		return r.dial(ctx, 99)
	}}}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	ws, _, err := websocket.Dial(ctx, "ws"+relayURL[len("http"):]+signaling.Path,
		&websocket.DialOptions{HTTPClient: client, Subprotocols: []string{signaling.Subprotocol}})
	if err != nil {
		return nil, err
	}
	_, b, err := ws.Read(ctx)
	if err != nil {
		return nil, err
	}

	f, err := signaling.Parse(b)
	if err != nil {
		return nil, err
	}
	s := &stranger{ws: ws, nonce: f.(signaling.Challenge).Nonce, done: make(chan struct{})}
	go s.listen()
	return s, nil
}

func (s *stranger) listen() {
	defer close(s.done)
	for {
		_, b, err := s.ws.Read(context.Background())
		if err != nil {
			return
		}
		f, err := signaling.Parse(b)
		if err != nil {
			return
		}

		s.mu.Lock()
		s.frames = append(s.frames, f)
		s.mu.Unlock()
	}
}

func (s *stranger) heard() []signaling.Frame {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.frames
}

func (s *stranger) say(t *rapid.T, f signaling.Frame) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := s.ws.Write(ctx, websocket.MessageBinary, signaling.Append(nil, f)); err != nil {
		t.Fatal(err)
	}
}

func (s *stranger) close() {
	s.ws.CloseNow()
	<-s.done
}

const halfTheKeys = "by half the keys"

// forged returns an Open for somebody's mailbox, with a signature that a stranger can obtain.
func (s *stranger) forged(t *rapid.T, mb signaling.Mailbox, a signaling.Access, signed string) signaling.Open {
	own := newMailbox(t)
	var f signaling.Open
	switch signed {
	case "by own keys":
		f = signaling.SignOpen(relayURL, s.nonce, own, a)
		f.ReadKey, f.WriteKey = mb.Read.Public().(ed25519.PublicKey), mb.Write.Public().(ed25519.PublicKey)
	case "by the other key":
		f = signaling.SignOpen(relayURL, s.nonce, signaling.Mailbox{Read: mb.Write, Write: mb.Read}, a)
		f.ReadKey, f.WriteKey = f.WriteKey, f.ReadKey
	case "on another connection":
		f = signaling.SignOpen(relayURL, [32]byte{1}, mb, a)
	case "at another relay":
		f = signaling.SignOpen("https://relay.example", s.nonce, mb, a)
	case "for the other access":
		f = signaling.SignOpen(relayURL, s.nonce, mb, 3-a)
		f.Access = a
	case halfTheKeys: // a mailbox of its own, one of whose keys is the victim's public key
		f = signaling.Open{
			Access:   a,
			ReadKey:  mb.Read.Public().(ed25519.PublicKey),
			WriteKey: own.Write.Public().(ed25519.PublicKey),
		}

		key := own.Write
		if a == signaling.Read {
			key, f.ReadKey, f.WriteKey = own.Read, own.Read.Public().(ed25519.PublicKey),
				mb.Write.Public().(ed25519.PublicKey)
		}
		f.Signature = label.Sign(key, label.MailboxOpen,
			signaling.OpenStatement(relayURL, s.nonce, signaling.NameOf(f.ReadKey, f.WriteKey), a))
	}

	f.ID = 1
	return f
}
