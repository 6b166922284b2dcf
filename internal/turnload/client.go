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
	First   netip.Addr // address of client 0; the next has the next. All must be local where Open is called

	Plain, Secure netip.AddrPort // the server's, for clients by TCP and by TLS

	By func(client int) Transport // what a client comes by; nil: UDP, all of them

	// Credentials of a client, by its number.
	Credentials func(client int) (username, password string)
}

func (c *Config) by(client int) Transport {
	if c.By == nil {
		return UDP
	}
	return c.By(client)
}

// A Load is a crowd of clients. One goroutine uses it.
type Load struct {
	config  Config
	socket  *socket
	crowd   *crowd // nil: all come by UDP
	scratch []byte // where a burst for a stream is put together
	first   uint32
	clients []client
	by      means
	direct  bool   // past the server
	flows   []flow // what client i sends
	next    int    // flow whose turn it is
	traffic Traffic
	open    int     // packets under way, of all flows
	burst   int     // of the last put
	late    []int64 // latencies, where they are asked for; else nil
}

// client is one TURN client.
type client struct {
	stage   stage
	relayed netip.AddrPort
	realm   string
	nonce   []byte
	key     stun.MessageIntegrity
	request []byte // that waits for an answer
	sent    time.Time
}

// Open opens the clients' socket, on the thread and so in the network namespace of the caller.
func Open(c Config) (*Load, error) {
	if c.Clients < 2 || c.Clients%2 != 0 || !c.First.Is4() || !c.Server.Addr().Is4() {
		return nil, fmt.Errorf("load with %d clients from %s to %s: want an even number of clients and IPv4", c.Clients, c.First, c.Server)
	}
	s, err := openSocket(c.Server)
	if err != nil {
		return nil, err
	}
	first := c.First.As4()
	l := &Load{
		config: c, socket: s, first: binary.BigEndian.Uint32(first[:]), scratch: make([]byte, largest),
		clients: make([]client, c.Clients), flows: make([]flow, c.Clients),
	}
	if c.By != nil {
		if l.crowd, err = openCrowd(l); err != nil {
			s.close()
			return nil, err
		}
	}
	return l, nil
}

// Close closes the socket and the connections. The allocations are the server's to forget.
func (l *Load) Close() {
	l.socket.close()
	if l.crowd != nil {
		l.crowd.close()
	}
}

// streams says whether a client comes by TCP or TLS.
func (l *Load) streams(client int) bool { return l.crowd != nil && l.crowd.streams[client] != nil }

// receive calls each with all that is there now.
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

// await waits until something has come, at most so long.
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

// address is a client's source address.
func (l *Load) address(i int) (a [4]byte) {
	binary.BigEndian.PutUint32(a[:], l.first+uint32(i))
	return a
}

// at says whose address that is.
func (l *Load) at(a [4]byte) (client int, ok bool) {
	i := int(binary.BigEndian.Uint32(a[:]) - l.first)
	return i, i >= 0 && i < len(l.clients)
}
