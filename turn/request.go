package turn

import (
	"bytes"
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
	peerPort    uint16                 // of the first XOR-PEER-ADDRESS
	channel     uint16                 // CHANNEL-NUMBER
	lifetime    time.Duration          // that pion grants an Allocate or a Refresh
	unsupported stun.ErrorCode         // what an Allocate asks for and cannot have
	unknown     stun.UnknownAttributes // that must be understood (RFC 8489 section 14)
	whole       []byte                 // the message, if it has such
	fingerprint bool                   // it has a FINGERPRINT, and so shall the answer
	key         []byte                 // authenticates the answer, once the request's credentials are known
	refusal     stun.ErrorCode         // what to answer instead of pion's error, 0 to leave that
	alternate   netip.AddrPort         // of refusal 300

	in stun.Message // reused
}

// typeRefresh is that of a Refresh request.
const typeRefresh = 0x0004

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
//
// Of a client that has no allocation, what is for one is shown to pion as a Refresh, in p itself: that pion asks authenticate about,
// and so it is answered, where the others pion passes over in silence.
func (r *request) read(p []byte, has bool) bool {
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
	r.method, r.unsupported, r.key, r.refusal, r.peerPort, r.channel = m.Type.Method, 0, nil, 0, 0, 0
	r.size, r.fingerprint = len(p), m.Contains(stun.AttrFingerprint)
	r.unknown, r.whole = nil, nil
	for _, a := range m.Attributes {
		if a.Type < 0x8000 && !understood[a.Type] {
			r.unknown = append(r.unknown, a.Type)
		}
	}
	if len(r.unknown) > 0 {
		r.whole = bytes.Clone(p) // as its sender authenticated it; p may be changed below
	}
	nonce, _ := m.Get(stun.AttrNonce)
	r.nonce = append(r.nonce[:0], nonce...)
	if v, err := m.Get(stun.AttrXORPeerAddress); err == nil {
		r.peerPort = binary.BigEndian.Uint16(v[2:]) ^ 0x2112 // RFC 8489 section 14.2
	}
	if v, err := m.Get(stun.AttrChannelNumber); err == nil && len(v) == 4 {
		r.channel = binary.BigEndian.Uint16(v)
	}
	if r.method == stun.MethodAllocate {
		r.unsupported = unsupported(m)
	}
	r.lifetime = lifetime(m)
	if !has && (r.method == stun.MethodCreatePermission || r.method == stun.MethodChannelBind) {
		binary.BigEndian.PutUint16(p, typeRefresh)
	}
	return true
}

// understood are the attributes of requests that a client may rely on. To others that must be understood the answer is 420, where
// pion passes them over; but to who has shown no password, as with Binding requests. DONT-FRAGMENT pion answers so.
var understood = map[stun.AttrType]bool{
	stun.AttrUsername: true, stun.AttrMessageIntegrity: true, stun.AttrRealm: true, stun.AttrNonce: true, stun.AttrRequestedTransport: true,
	stun.AttrRequestedAddressFamily: true, stun.AttrLifetime: true, stun.AttrEvenPort: true, stun.AttrReservationToken: true,
	stun.AttrDontFragment: true, stun.AttrXORPeerAddress: true, stun.AttrChannelNumber: true, stun.AttrData: true,
}

// strange says whether a request has what must be understood and is not, and was made with a key, which authenticates the answer then.
func (r *request) strange(key []byte) bool {
	if len(r.unknown) == 0 {
		return false
	}
	m := stun.Message{Raw: r.whole}
	if m.Decode() != nil || stun.MessageIntegrity(key).Check(&m) != nil {
		return false
	}
	r.key = key
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

// answer returns what to send instead of pion's answer p, which is p where nothing is to be changed.
func (r *request) answer(p []byte, realm string) []byte {
	class, ok := stunClass(p)
	if !ok || class != stun.ClassErrorResponse && !r.fingerprint {
		return p
	}
	m := stun.Message{Raw: p}
	if m.Decode() != nil {
		return p
	}
	if class == stun.ClassErrorResponse {
		m.SetType(stun.NewType(r.method, class)) // it may have been shown another
		out, err := stun.Build(r.refused(&m, realm)...)
		if err != nil {
			return p
		}
		m = *out
	}
	if r.fingerprint && !m.Contains(stun.AttrFingerprint) {
		if stun.Fingerprint.AddTo(&m) != nil {
			return p
		}
	}
	return m.Raw
}

// refused is what to answer instead of an error of pion's: with the code that is meant, and authenticated if the request was (RFC 8489
// section 9.2.4), which pion does not do.
func (r *request) refused(m *stun.Message, realm string) []stun.Setter {
	setters := []stun.Setter{&stun.Message{TransactionID: m.TransactionID}, m.Type}
	code := r.refusal
	switch {
	case code == 0 && m.Contains(stun.AttrErrorCode):
		for _, a := range m.Attributes {
			setters = append(setters, a)
		}
	case code == 0:
		setters = append(setters, stun.CodeBadRequest) // a CreatePermission without a peer address
	default:
		setters = append(setters, code)
	}
	switch code {
	case stun.CodeTryAlternate:
		setters = append(setters, &stun.AlternateServer{IP: r.alternate.Addr().Unmap().AsSlice(), Port: int(r.alternate.Port())})
	case stun.CodeUnknownAttribute:
		setters = append(setters, r.unknown)
	case stun.CodeUnauthorized: // RFC 8489 section 9.2.4
		return append(setters, stun.NewRealm(realm), stun.Nonce(r.nonce))
	}
	if r.key != nil {
		setters = append(setters, stun.MessageIntegrity(r.key))
	}
	return setters
}
