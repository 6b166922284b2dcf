//go:build linux

package turnload

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/pion/stun/v3"
)

// encapsulation is how packets are carried.
type encapsulation int

const (
	channels    encapsulation = iota // ChannelData (RFC 8656, section 12)
	indications                      // Send and Data indications (section 11)
)

// channel is the number that every client binds to its only peer.
const channel = 0x4000

// stage is how far a client has come.
type stage byte

const (
	fresh stage = iota
	challenged
	allocated
	connected // may send to its peer
)

const (
	maxWaiting  = 32 // clients that wait for an answer at a time
	resendAfter = 500 * time.Millisecond
	patience    = 60 * time.Second // without any answer
)

// ErrRefused is returned if a server answers with an error, or not at all.
var ErrRefused = errors.New("refused")

// Allocate makes an allocation for every client. Each asks first without credentials, as clients must (RFC 8489,
// section 9.2.3), then with them.
func (l *Load) Allocate() error {
	if err := l.advance(challenged, l.challenge); err != nil {
		return fmt.Errorf("ask for a nonce: %w", err)
	}
	if err := l.advance(allocated, l.allocate); err != nil {
		return fmt.Errorf("allocate: %w", err)
	}
	return nil
}

// BindChannels binds a channel to its peer for every client, which then sends ChannelData.
func (l *Load) BindChannels() error {
	l.encapsulation = channels
	return l.connect("bind channel", stun.MethodChannelBind,
		stun.RawAttribute{Type: stun.AttrChannelNumber, Value: []byte{channel >> 8, channel & 0xff, 0, 0}})
}

// CreatePermissions makes a permission for its peer for every client, which then sends indications.
func (l *Load) CreatePermissions() error {
	l.encapsulation = indications
	return l.connect("create permission", stun.MethodCreatePermission)
}

// BypassServer makes the clients send to each other directly, for comparison.
func (l *Load) BypassServer() {
	l.encapsulation, l.direct = channels, true
}

func (l *Load) connect(what string, method stun.Method, extra ...stun.Setter) error {
	err := l.advance(connected, func(i int) ([]byte, error) {
		return l.request(i, method, append(extra, peer(l.clients[i^1].relayed))...)
	})
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

func (l *Load) challenge(i int) ([]byte, error) {
	m, err := stun.Build(l.transaction(i), stun.NewType(stun.MethodAllocate, stun.ClassRequest), wantUDP)
	if err != nil {
		return nil, err
	}
	return m.Raw, nil
}

func (l *Load) allocate(i int) ([]byte, error) {
	return l.request(i, stun.MethodAllocate, wantUDP)
}

// wantUDP is REQUESTED-TRANSPORT: UDP (RFC 8656, section 18.8).
var wantUDP = stun.RawAttribute{Type: stun.AttrRequestedTransport, Value: []byte{17, 0, 0, 0}}

// request builds an authenticated request.
func (l *Load) request(i int, method stun.Method, setters ...stun.Setter) ([]byte, error) {
	c := &l.clients[i]
	username, password := l.config.Credentials(i)
	if c.key == nil {
		c.key = stun.NewLongTermIntegrity(username, c.realm, password)
	}

	all := append([]stun.Setter{l.transaction(i), stun.NewType(method, stun.ClassRequest)}, setters...)
	m, err := stun.Build(append(all, stun.NewUsername(username), stun.NewRealm(c.realm), stun.Nonce(c.nonce), c.key)...)
	if err != nil {
		return nil, err
	}
	return m.Raw, nil
}

// transaction returns a message with an ID that encodes the client and its stage.
func (l *Load) transaction(i int) *stun.Message {
	m := stun.New()
	_ = m.NewTransactionID() // reading random bytes never fails
	binary.BigEndian.PutUint32(m.TransactionID[:], uint32(i))
	m.TransactionID[4] = byte(l.clients[i].stage)
	return m
}

// peer returns an XOR-PEER-ADDRESS (RFC 8656, section 18.3).
func peer(a netip.AddrPort) stun.RawAttribute {
	v := binary.BigEndian.AppendUint16([]byte{0, 1}, a.Port()^0x2112)
	ip := a.Addr().As4()
	v = binary.BigEndian.AppendUint32(v, binary.BigEndian.Uint32(ip[:])^0x2112a442)
	return stun.RawAttribute{Type: stun.AttrXORPeerAddress, Value: v}
}

// advance brings every client to a stage, with one request each, a few at a time. It sends a request again if no answer
// comes.
func (l *Load) advance(to stage, request func(client int) ([]byte, error)) error {
	waiting := make(map[int]bool, maxWaiting)
	begun, heard := 0, time.Now()
	var failed error
	for done := 0; done < len(l.clients); {
		for ; begun < len(l.clients) && len(waiting) < maxWaiting; begun++ {
			raw, err := request(begun)
			if err != nil {
				return err
			}
			l.clients[begun].request, l.clients[begun].sent = raw, time.Time{}
			waiting[begun] = true
		}

		now := time.Now()
		for i := range waiting {
			c := &l.clients[i]
			switch {
			case now.Sub(c.sent) <= resendAfter || l.usesStream(i) && !c.sent.IsZero(): // a stream loses nothing
			case l.usesStream(i):
				c.sent = now
				if err := l.crowd.send(i, c.request, len(c.request)); err != nil {
					return err
				}
			default:
				c.sent = now
				l.socket.enqueue(l.address(i), l.socket.server, copy(l.socket.nextBuffer(), c.request), largest)
			}
		}

		if _, err := l.socket.flush(); err != nil {
			return err
		}
		if now.Sub(heard) > patience {
			return fmt.Errorf("%d of %d clients, then no answer for %v: %w", done, len(l.clients), patience, ErrRefused)
		}
		if err := l.await(10 * time.Millisecond); err != nil {
			return err
		}

		err := l.receive(func(r received) {
			i, err := l.answer(r, to)
			if err != nil {
				failed = errors.Join(failed, err)
			}
			if i >= 0 && waiting[i] {
				heard = time.Now()
				delete(waiting, i)
				done++
			}
		})

		if err = errors.Join(failed, err); err != nil {
			return err
		}
	}

	return nil
}

// answer handles the answer to a client's current request and returns the client. It returns -1 for anything else.
func (l *Load) answer(r received, to stage) (int, error) {
	i, ok := l.clientAt(r.to)
	m := &stun.Message{Raw: r.data}
	if !ok || m.Decode() != nil {
		return -1, nil
	}
	c := &l.clients[i]
	if binary.BigEndian.Uint32(m.TransactionID[:]) != uint32(i) || m.TransactionID[4] != byte(c.stage) ||
		c.stage == to {
		return -1, nil
	}

	var code stun.ErrorCodeAttribute
	refused := m.Type.Class == stun.ClassErrorResponse && code.GetFrom(m) == nil
	switch {
	case to == challenged:
		var realm stun.Realm
		var nonce stun.Nonce
		if !refused || code.Code != stun.CodeUnauthorized || realm.GetFrom(m) != nil || nonce.GetFrom(m) != nil {
			return -1, fmt.Errorf("client %d: want a challenge, got %v %v: %w", i, m, code, ErrRefused)
		}
		c.realm, c.nonce = realm.String(), append([]byte(nil), nonce...)
	case m.Type.Class != stun.ClassSuccessResponse:
		return -1, fmt.Errorf("client %d: %v %v: %w", i, m, code, ErrRefused)
	case to == allocated:
		var relayed stun.XORMappedAddress
		if err := relayed.GetFromAs(m, stun.AttrXORRelayedAddress); err != nil {
			return -1, fmt.Errorf("client %d: no relayed address: %w", i, ErrRefused)
		}
		ip, _ := netip.AddrFromSlice(relayed.IP)
		c.relayed = netip.AddrPortFrom(ip.Unmap(), uint16(relayed.Port))
	}

	c.stage = to
	return i, nil
}
