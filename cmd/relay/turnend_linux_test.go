package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/pion/stun/v3"

	"github.com/peephole-cam/peephole/signaling"
)

const channel = 0x4000

// turnEnd is one end of a session over TURN.
type turnEnd struct {
	conn    net.Conn
	in      io.Reader
	cred    signaling.Credentials
	nonce   stun.Nonce
	relayed stun.XORMappedAddress
}

// ask sends a request with credentials, and expects success.
func (e *turnEnd) ask(method stun.Method, setters ...stun.Setter) (*stun.Message, error) {
	key := stun.NewLongTermIntegrity(e.cred.Username, "peephole", e.cred.Credential)
	all := append([]stun.Setter{stun.TransactionID, stun.NewType(method, stun.ClassRequest)}, setters...)
	all = append(all, stun.NewUsername(e.cred.Username), stun.NewRealm("peephole"), e.nonce, key)
	request, err := stun.Build(all...)
	if err != nil {
		return nil, err
	}

	m, err := e.do(request)
	if err == nil && m.Type.Class != stun.ClassSuccessResponse {
		err = fmt.Errorf("%v", m)
	}
	return m, err
}

// do sends a request, and repeats it if it may have been lost.
func (e *turnEnd) do(request *stun.Message) (*stun.Message, error) {
	again, tries := e.patience()
	for ; tries > 0; tries-- {
		if _, err := e.conn.Write(request.Raw); err != nil {
			return nil, err
		}
		e.conn.SetReadDeadline(time.Now().Add(again))
		for {
			p, err := e.next()
			if err != nil {
				break
			}
			m := &stun.Message{Raw: p}
			if m.Decode() == nil && m.TransactionID == request.TransactionID {
				return m, nil
			}
		}
	}

	return nil, fmt.Errorf("no answer to %v", request.Type)
}

// next reads one message.
func (e *turnEnd) next() ([]byte, error) {
	p := make([]byte, 2048)
	if _, datagrams := e.conn.(*net.UDPConn); datagrams {
		n, err := e.conn.Read(p)
		return p[:n], err
	}
	if _, err := io.ReadFull(e.in, p[:4]); err != nil {
		return nil, err
	}

	n := 4 + (int(binary.BigEndian.Uint16(p[2:]))+3)&^3
	if p[0]>>6 == 0 {
		n += 16
	}
	_, err := io.ReadFull(e.in, p[4:n])
	return p[:n], err
}

func (e *turnEnd) bind(peer stun.XORMappedAddress) error {
	number := stun.RawAttribute{Type: stun.AttrChannelNumber, Value: []byte{channel >> 8, 0, 0, 0}}
	_, err := e.ask(stun.MethodChannelBind, number, peerOf(peer))
	return err
}

// pass sends a packet through the relay, and waits until it arrives. Over UDP it repeats the packet, since the kernel
// of a busy machine may drop it.
func pass(from, to *turnEnd, p []byte) error {
	again, tries := from.patience()
	for ; tries > 0; tries-- {
		if _, err := from.conn.Write(p); err != nil {
			return err
		}
		to.conn.SetReadDeadline(time.Now().Add(again))
		for {
			got, err := to.next()
			if err != nil {
				break
			}
			if bytes.Equal(got, p) {
				return nil
			}
		}
	}

	return errors.New("the packet did not arrive")
}

// patience returns how long to wait for the answer to a message, and how many times to send it.
func (e *turnEnd) patience() (again time.Duration, tries int) {
	if _, lossy := e.conn.(*net.UDPConn); lossy {
		return 2 * time.Second, 10
	}
	return patience, 1
}

// peerOf sets XOR-PEER-ADDRESS.
type peerOf stun.XORMappedAddress

func (p peerOf) AddTo(m *stun.Message) error {
	return (*stun.XORMappedAddress)(&p).AddToAs(m, stun.AttrXORPeerAddress)
}
