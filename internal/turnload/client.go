//go:build linux

package turnload

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"

	"github.com/pion/stun/v3"
)

// Config says which server to load, and as whom.
type Config struct {
	Server  netip.AddrPort
	Clients int        // even: 2k and 2k+1 are a session
	First   netip.Addr // address of client 0; the next has the next. All must be local where Open is called

	// Credentials of a client, by its number.
	Credentials func(client int) (username, password string)
}

// A Load is a crowd of clients. One goroutine uses it.
type Load struct {
	config  Config
	socket  *socket
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
	return &Load{
		config: c, socket: s, first: binary.BigEndian.Uint32(first[:]),
		clients: make([]client, c.Clients), flows: make([]flow, c.Clients),
	}, nil
}

// Close closes the socket. The allocations are the server's to forget.
func (l *Load) Close() { l.socket.close() }

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
