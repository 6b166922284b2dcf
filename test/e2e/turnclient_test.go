package e2e

import (
	"encoding/binary"
	"errors"
	"net"
	"os"
	"testing"
	"time"

	"github.com/pion/stun/v3"

	"github.com/peephole-cam/peephole/signaling"
	"github.com/peephole-cam/peephole/test/evilcloud"
	"github.com/peephole-cam/peephole/turn"
)

// turnSocket is a TURN client over UDP that does nothing by itself and shows every answer. Only one goroutine may use
// it.
type turnSocket struct {
	t     *testing.T
	conn  net.Conn
	nonce stun.Nonce
	other int // packets with data from a peer
}

const turnRealm = "peephole"

// wantUDP is REQUESTED-TRANSPORT: UDP (RFC 8656, section 18.7).
var wantUDP = stun.RawAttribute{Type: stun.AttrRequestedTransport, Value: []byte{17, 0, 0, 0}}

func lifetime(seconds uint32) stun.Setter {
	return stun.RawAttribute{Type: stun.AttrLifetime, Value: binary.BigEndian.AppendUint32(nil, seconds)}
}

// dialTURN opens a socket to a TURN server from an address of this machine.
func dialTURN(t *testing.T, to, from string) *turnSocket {
	t.Helper()
	dialer := net.Dialer{LocalAddr: &net.UDPAddr{IP: net.ParseIP(from)}}
	conn, err := dialer.DialContext(t.Context(), "udp4", to)
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() { conn.Close() })

	return &turnSocket{t: t, conn: conn}
}

// ask sends a request and returns the answer. Without a username, the request has no credentials (RFC 8489, section
// 9.2).
func (s *turnSocket) ask(method stun.Method, c signaling.Credentials, attributes ...stun.Setter) *stun.Message {
	s.t.Helper()
	m := s.request(method, c, attributes...)
	return s.exchange(m)
}

// request makes a request.
func (s *turnSocket) request(method stun.Method, c signaling.Credentials, attributes ...stun.Setter) *stun.Message {
	s.t.Helper()
	setters := append([]stun.Setter{stun.TransactionID, stun.NewType(method, stun.ClassRequest)}, attributes...)
	if c.Username != "" {
		if s.nonce == nil {
			if s.nonce.GetFrom(s.exchange(s.request(stun.MethodAllocate, signaling.Credentials{}, wantUDP))) != nil {
				s.t.Fatal("TURN gives no nonce")
			}
		}
		setters = append(setters, stun.NewUsername(c.Username), stun.NewRealm(turnRealm), s.nonce,
			stun.NewLongTermIntegrity(c.Username, turnRealm, c.Credential))
	}

	m, err := stun.Build(setters...)
	if err != nil {
		s.t.Fatal(err)
	}
	return m
}

// exchange sends a request, repeatedly if needed, and waits for its answer.
func (s *turnSocket) exchange(m *stun.Message) *stun.Message {
	s.t.Helper()
	buf := make([]byte, 2048)
	for late := time.Now().Add(patience); time.Now().Before(late); {
		if _, err := s.conn.Write(m.Raw); err != nil {
			s.t.Fatal(err)
		}
		if err := s.conn.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
			s.t.Fatal(err)
		}

		for {
			n, err := s.conn.Read(buf)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				break
			}
			if err != nil {
				s.t.Fatal(err)
			}

			answer := &stun.Message{Raw: append([]byte(nil), buf[:n]...)}
			if answer.Decode() == nil && answer.TransactionID == m.TransactionID {
				return answer
			}

			// otherwise it is a late answer
			if !stun.IsMessage(answer.Raw) || answer.Type.Class == stun.ClassIndication {
				s.other++
			}
		}
	}

	s.t.Fatal("TURN does not answer")
	return nil
}

// errorOf returns an answer's error code; 0: none.
func errorOf(m *stun.Message) stun.ErrorCode {
	var e stun.ErrorCodeAttribute
	if e.GetFrom(m) != nil {
		return 0
	}
	return e.Code
}

// granted returns a grant that a relay's TURN server accepts, made with its key.
func granted(t *testing.T, c *evilcloud.Cloud, now time.Time) signaling.Grant {
	t.Helper()
	keys, err := turn.NewKeys(c.Dump().Secrets[0], nil)
	if err != nil {
		t.Fatal(err)
	}
	g, err := keys.Grant("", now, 10*time.Minute)
	if err != nil {
		t.Fatal(err)
	}

	return signaling.Grant{
		Viewer: signaling.Credentials{Username: g.Viewer.Username, Credential: g.Viewer.Password},
		Camera: signaling.Credentials{Username: g.Camera.Username, Credential: g.Camera.Password},
	}
}
