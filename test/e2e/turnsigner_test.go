package e2e

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"testing"

	"github.com/pion/stun/v3"

	"github.com/peephole-cam/peephole/signaling"
)

// turnSigner stands between a TURN client that uses one username for both ends of a session and a relay that gives each
// its own. The client's third socket, after one to try the server with and one for the camera, speaks as the viewer:
// turnSigner signs its messages anew, and the answers too. Everything else passes unchanged.
type turnSigner struct {
	front *net.UDPConn
	turn  string
	grant signaling.Grant
}

// startTURNSigner returns the port at which it serves one run of a client.
func startTURNSigner(t *testing.T, s turnPorts) (port string) {
	t.Helper()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.ParseIP(s.host)})
	if err != nil {
		t.Fatal(err)
	}
	f := &turnSigner{front: conn, turn: net.JoinHostPort(s.host, s.ports["udp"]), grant: s.grant}
	run(t, f.run)
	_, port, _ = net.SplitHostPort(conn.LocalAddr().String())

	return port
}

func (f *turnSigner) run(ctx context.Context) error {
	clients := make(map[netip.AddrPort]net.Conn)
	var third netip.AddrPort
	var answers sync.WaitGroup
	defer answers.Wait()
	defer func() {
		for _, back := range clients {
			back.Close()
		}
	}()

	defer context.AfterFunc(ctx, func() { f.front.Close() })()
	buf := make([]byte, 2048)
	for {
		n, addr, err := f.front.ReadFromUDPAddrPort(buf)
		if err != nil {
			return nil
		}
		back := clients[addr]
		if back == nil {
			if back, err = net.Dial("udp", f.turn); err != nil {
				return err
			}
			if clients[addr] = back; len(clients) == 3 {
				third = addr
			}

			viewer := addr == third
			answers.Go(func() { f.answer(back, addr, viewer) })
		}

		p := buf[:n]
		if addr == third {
			p = signedBy(p, f.grant.Viewer)
		}
		_, _ = back.Write(p) // may be lost
	}
}

func (f *turnSigner) answer(back net.Conn, to netip.AddrPort, viewer bool) {
	buf := make([]byte, 2048)
	for {
		n, err := back.Read(buf)
		if err != nil {
			return
		}
		p := buf[:n]
		if viewer {
			p = signedBy(p, f.grant.Camera)
		}
		_, _ = f.front.WriteToUDPAddrPort(p, to)
	}
}

// signedBy returns a message with another's username and MESSAGE-INTEGRITY, if it had them.
func signedBy(p []byte, c signaling.Credentials) []byte {
	m := &stun.Message{Raw: p}
	if !stun.IsMessage(p) || m.Decode() != nil || !m.Contains(stun.AttrMessageIntegrity) {
		return p
	}
	setters := []stun.Setter{&stun.Message{TransactionID: m.TransactionID}, m.Type}
	for _, a := range m.Attributes {
		switch a.Type {
		case stun.AttrMessageIntegrity, stun.AttrFingerprint:
		case stun.AttrUsername:
			setters = append(setters, stun.NewUsername(c.Username))
		default:
			setters = append(setters, stun.RawAttribute{Type: a.Type, Value: a.Value})
		}
	}

	setters = append(setters, stun.NewLongTermIntegrity(c.Username, turnRealm, c.Credential))
	if m.Contains(stun.AttrFingerprint) {
		setters = append(setters, stun.Fingerprint)
	}
	out, err := stun.Build(setters...)
	if err != nil {
		return p
	}
	return out.Raw
}
