//go:build linux

package turnload

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"

	"github.com/pion/stun/v3"
	"golang.org/x/sys/unix"
)

// Config says which server to load, and as whom.
type Config struct {
	Server  netip.AddrPort
	Clients int        // even: 2k and 2k+1 are a session
	First   netip.Addr // address of client 0; each client has the next. All must be local where Open is called

	Plain, Secure netip.AddrPort // the server's, for clients by TCP and by TLS

	By func(client int) Transport // the transport of a client; nil: UDP for all

	// Credentials returns the credentials of a client, by its number.
	Credentials func(client int) (username, password string)
}

func (c *Config) transport(client int) Transport {
	if c.By == nil {
		return UDP
	}
	return c.By(client)
}

// A Load is many clients of one server. Only one goroutine may use it.
type Load struct {
	config  Config
	socket  *socket
	crowd   *streamCrowd // nil: all clients use UDP
	scratch []byte       // where a burst for a stream is built
	first   uint32
	clients []client

	encapsulation encapsulation
	direct        bool   // clients send to each other, past the server
	flows         []flow // what client i sends
	next          int    // the flow whose turn it is
	traffic       Traffic
	inFlight      int           // packets under way, of all flows
	burst         int           // size of the last burst queued
	late          []int64       // latencies, if they are measured; else nil
	stall         time.Duration // if nothing arrives for so long, all that is under way counts as lost
}

// client is one TURN client.
type client struct {
	stage   stage
	relayed netip.AddrPort
	realm   string
	nonce   []byte
	key     stun.MessageIntegrity
	request []byte // the one that waits for an answer
	sent    time.Time
}

// Open opens the clients' socket on the caller's thread, and so in its network namespace.
func Open(c Config) (*Load, error) {
	if c.Clients < 2 || c.Clients%2 != 0 || !c.First.Is4() || !c.Server.Addr().Is4() {
		return nil, fmt.Errorf("load with %d clients from %s to %s: want an even number of clients and IPv4",
			c.Clients, c.First, c.Server)
	}
	s, err := openSocket(c.Server)
	if err != nil {
		return nil, err
	}

	first := c.First.As4()
	l := &Load{
		stall:   minStall,
		config:  c,
		socket:  s,
		first:   binary.BigEndian.Uint32(first[:]),
		scratch: make([]byte, largest),
		clients: make([]client, c.Clients),
		flows:   make([]flow, c.Clients),
	}

	if c.By != nil {
		if l.crowd, err = connectStreams(l); err != nil {
			s.close()
			return nil, err
		}
	}

	return l, nil
}

// Close closes the socket and the connections. The server forgets the allocations by itself.
func (l *Load) Close() {
	l.socket.close()
	if l.crowd != nil {
		l.crowd.close()
	}
}

// usesStream reports whether a client uses TCP or TLS.
func (l *Load) usesStream(client int) bool { return l.crowd != nil && l.crowd.streams[client] != nil }

// receive calls each for everything that has come.
func (l *Load) receive(each func(received)) error {
	if l.crowd == nil || !l.crowd.all {
		if _, err := l.socket.receive(each); err != nil || l.crowd == nil {
			return err
		}
	}
	return l.crowd.receive(func(client int, message []byte) {
		each(received{to: l.address(client), data: message, size: len(message)})
	})
}

// await waits until something has come, but not longer than limit.
func (l *Load) await(limit time.Duration) error {
	from := []unix.PollFd{{Fd: int32(l.socket.fd), Events: unix.POLLIN}}
	if l.crowd != nil {
		from = append(from, unix.PollFd{Fd: int32(l.crowd.poll), Events: unix.POLLIN})
	}
	if _, err := unix.Poll(from, int(limit.Milliseconds())); err != nil && err != unix.EINTR {
		return fmt.Errorf("poll: %w", err)
	}
	return nil
}

// address returns a client's source address.
func (l *Load) address(i int) (a [4]byte) {
	binary.BigEndian.PutUint32(a[:], l.first+uint32(i))
	return a
}

// clientAt returns the client with an address. ok is false if no client has it.
func (l *Load) clientAt(a [4]byte) (client int, ok bool) {
	i := int(binary.BigEndian.Uint32(a[:]) - l.first)
	return i, i >= 0 && i < len(l.clients)
}
