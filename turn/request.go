package turn

import (
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/pion/stun/v3"
)

// Values of attributes that an Allocate or a peer address may carry (RFC 8656 section 18, RFC 6062 section 6.1).
const (
	familyIPv4  = 1
	familyIPv6  = 2
	protocolTCP = 6
)

// request is the STUN request that one of pion's read loops is at. A read loop asks the handlers of its transport and
// then answers, all in one goroutine, before it reads again; so a handler can leave here what the answer shall be. That
// is needed because pion answers 400 to bad credentials, no code or 401 to a forbidden peer, and takes some Allocates
// that it should not. It is touched by its read loop only.
type request struct {
	method      stun.Method
	size        int // in bytes
	nonce       []byte
	peerPort    uint16         // of the first XOR-PEER-ADDRESS
	lifetime    time.Duration  // that pion grants an Allocate or a Refresh
	unsupported stun.ErrorCode // what an Allocate asks for and cannot have
	key         []byte         // authenticates the answer, once the request's credentials are known
	refusal     stun.ErrorCode // what to answer instead of pion's error, 0 to leave that
	alternate   netip.AddrPort // of refusal 300

	in stun.Message // reused
}

// stunClass says whether p may be a STUN message (RFC 8489 section 5), and its class.
func stunClass(p []byte) (stun.MessageClass, bool) {
	if len(p) < 20 || p[0]&0xc0 != 0 {
		return 0, false
	}
	var t stun.MessageType
	t.ReadValue(binary.BigEndian.Uint16(p))
	return t.Class, true
}

// read looks at a message before pion does, and says whether pion shall see it. What pion would not use, or would
// panic at, it shall not: a peer address cut short, which pion/stun reads beyond its end.
func (r *request) read(p []byte) bool {
	if len(p) > 0 && p[0]&0xc0 != 0 {
		return true // ChannelData, or noise that pion skips
	}
	class, ok := stunClass(p)
	if !ok || class != stun.ClassRequest && class != stun.ClassIndication {
		return false
	}
	m := &r.in
	m.Raw = p
	defer func() { m.Raw = nil }()
	if m.Decode() != nil {
		return false
	}
	for _, a := range m.Attributes {
		if a.Type == stun.AttrXORPeerAddress && !validAddress(a.Value) {
			return false
		}
	}
	if class != stun.ClassRequest {
		return true
	}
	r.method, r.unsupported, r.key, r.refusal, r.peerPort = m.Type.Method, 0, nil, 0, 0
	r.size = len(p)
	nonce, _ := m.Get(stun.AttrNonce)
	r.nonce = append(r.nonce[:0], nonce...)
	if v, err := m.Get(stun.AttrXORPeerAddress); err == nil {
		r.peerPort = binary.BigEndian.Uint16(v[2:]) ^ 0x2112 // RFC 8489 section 14.2
	}
	if r.method == stun.MethodAllocate {
		r.unsupported = unsupported(m)
	}
	r.lifetime = lifetime(m)
	return true
}

// lifetime is what pion makes of a request's LIFETIME: ten minutes if there is none, or if it is an hour or more.
func lifetime(m *stun.Message) time.Duration {
	if v, err := m.Get(stun.AttrLifetime); err == nil && len(v) == 4 {
		if d := time.Duration(binary.BigEndian.Uint32(v)) * time.Second; d < time.Hour {
			return d
		}
	}
	return 10 * time.Minute
}

// validAddress says whether v is an XOR-PEER-ADDRESS of IPv4 or IPv6.
func validAddress(v []byte) bool {
	return len(v) == 8 && v[1] == familyIPv4 || len(v) == 20 && v[1] == familyIPv6
}

// unsupported returns the error that an Allocate is owed because of what it asks for, 0 if none. pion would grant all
// of this: a relayed TCP address as a UDP one, and whatever a reservation stands for.
//
// Who asks for IPv6 gets an IPv4 address, where RFC 8656, section 7.2, wants 440: pion's client asks for the family of its way to
// the relay, and ICE pairs addresses of one family only, so that a viewer with IPv6 alone and a camera with IPv4 alone would never meet. A
// relayed address is a name inside this relay and no family of any network.
func unsupported(m *stun.Message) stun.ErrorCode {
	first := func(t stun.AttrType) byte {
		if v, err := m.Get(t); err == nil && len(v) > 0 {
			return v[0]
		}
		return 0
	}
	switch {
	case first(stun.AttrRequestedTransport) == protocolTCP:
		return stun.CodeUnsupportedTransProto
	case m.Contains(stun.AttrReservationToken):
		return stun.CodeInsufficientCapacity
	}
	return 0
}

// answer returns p, or if p is an error response, what to send instead of it.
func (r *request) answer(p []byte, realm string) []byte {
	if class, ok := stunClass(p); !ok || class != stun.ClassErrorResponse {
		return p
	}
	m := stun.Message{Raw: p}
	if m.Decode() != nil {
		return p
	}
	code := r.refusal
	if code == 0 {
		if m.Contains(stun.AttrErrorCode) {
			return p
		}
		code = stun.CodeBadRequest // a CreatePermission without a peer address
	}
	setters := []stun.Setter{&stun.Message{TransactionID: m.TransactionID}, m.Type, code}
	if code == stun.CodeTryAlternate {
		setters = append(setters, &stun.AlternateServer{IP: r.alternate.Addr().Unmap().AsSlice(), Port: int(r.alternate.Port())})
	}
	switch {
	case code == stun.CodeUnauthorized: // RFC 8489 section 9.2.4
		setters = append(setters, stun.NewRealm(realm), stun.Nonce(r.nonce))
	case r.key != nil:
		setters = append(setters, stun.MessageIntegrity(r.key))
	}
	out, err := stun.Build(setters...)
	if err != nil {
		return p
	}
	return out.Raw
}
