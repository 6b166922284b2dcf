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

// request is the STUN request that one of pion's read loops is handling. A read loop asks the handlers of its
// transport, and then answers, in one goroutine and before it reads again. So a handler can leave here what the answer
// should be. That is needed because pion answers bad credentials with 400 and a forbidden peer with no code or 401, and
// grants some Allocates that it should not. Only its read loop touches a request.
type request struct {
	method      stun.Method
	size        int // in bytes
	nonce       []byte
	peerPort    uint16                 // of the first XOR-PEER-ADDRESS
	channel     uint16                 // CHANNEL-NUMBER
	lifetime    time.Duration          // that pion grants an Allocate or a Refresh
	unsupported stun.ErrorCode         // for an Allocate that asks for what it cannot have; 0 otherwise
	unknown     stun.UnknownAttributes // that we must understand, and do not (RFC 8489 section 14)
	original    []byte                 // the message as it came, if it has unknown attributes
	fingerprint bool                   // it has a FINGERPRINT, so the answer must have one too
	key         []byte                 // authenticates the answer, once the request's credentials are known
	refusal     stun.ErrorCode         // what to answer instead of pion's error; 0: pion's
	alternate   netip.AddrPort         // of refusal 300
	issuer      *region                // that made the credential with which it came
	lease       lease                  // reserved by an Allocate, until its allocation has it
	failures    int                    // wrong passwords in a row, counted over earlier requests too
	undo        func()                 // gives back what an Allocate has reserved; nil: nothing

	in stun.Message // reused
}

// typeRefresh is that of a Refresh request.
const typeRefresh = 0x0004

// stunClass returns the class of a message, and reports whether it may be STUN at all (RFC 8489 section 5).
func stunClass(p []byte) (stun.MessageClass, bool) {
	if len(p) < 20 || p[0]&0xc0 != 0 {
		return 0, false
	}
	var t stun.MessageType
	t.ReadValue(binary.BigEndian.Uint16(p))
	return t.Class, true
}

// inspect parses a message before pion does, and reports whether pion may see it. It withholds what pion would not use,
// and what would make it panic: pion/stun reads beyond the end of a peer address that is cut short.
//
// If the client has no allocation, inspect turns a request that needs one into a Refresh, in p itself. pion asks
// authenticate about a Refresh, and so answers it; the others it would ignore.
func (r *request) inspect(p []byte, hasAllocation bool) bool {
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
	if m.Decode() != nil || !validPeerAddresses(m) {
		return false
	}
	if class == stun.ClassIndication {
		return true
	}

	r.parse(m)
	if !hasAllocation && (r.method == stun.MethodCreatePermission || r.method == stun.MethodChannelBind) {
		binary.BigEndian.PutUint16(p, typeRefresh)
	}
	return true
}

// parse notes what the handlers and the answer need of a request, and forgets the one before.
func (r *request) parse(m *stun.Message) {
	r.method, r.size = m.Type.Method, len(m.Raw)
	r.key, r.refusal = nil, 0
	r.fingerprint = m.Contains(stun.AttrFingerprint)
	r.lifetime = grantedLifetime(m)

	r.unsupported = 0
	if r.method == stun.MethodAllocate {
		r.unsupported = unsupported(m)
	}

	r.unknown, r.original = unknownAttributes(m), nil
	if len(r.unknown) > 0 {
		r.original = bytes.Clone(m.Raw) // inspect may change the message, which its sender has authenticated
	}

	nonce, _ := m.Get(stun.AttrNonce)
	r.nonce = append(r.nonce[:0], nonce...)

	r.peerPort = 0
	if v, err := m.Get(stun.AttrXORPeerAddress); err == nil {
		r.peerPort = binary.BigEndian.Uint16(v[2:]) ^ magicCookie>>16 // RFC 8489 section 14.2
	}

	r.channel = 0
	if v, err := m.Get(stun.AttrChannelNumber); err == nil && len(v) == 4 {
		r.channel = binary.BigEndian.Uint16(v)
	}
}

// understood are the attributes of requests that a client may rely on. pion passes over others, even those that must
// be understood; we answer 420, but only to a client that has shown a password, and not to Binding requests. pion
// itself answers DONT-FRAGMENT with 420.
var understood = map[stun.AttrType]bool{
	stun.AttrUsername:               true,
	stun.AttrMessageIntegrity:       true,
	stun.AttrRealm:                  true,
	stun.AttrNonce:                  true,
	stun.AttrRequestedTransport:     true,
	stun.AttrRequestedAddressFamily: true,
	stun.AttrLifetime:               true,
	stun.AttrEvenPort:               true,
	stun.AttrReservationToken:       true,
	stun.AttrDontFragment:           true,
	stun.AttrXORPeerAddress:         true,
	stun.AttrChannelNumber:          true,
	stun.AttrData:                   true,
}

// unknownAttributes returns a request's attributes that must be understood, and are not.
func unknownAttributes(m *stun.Message) (unknown stun.UnknownAttributes) {
	for _, a := range m.Attributes {
		if a.Type < 0x8000 && !understood[a.Type] {
			unknown = append(unknown, a.Type)
		}
	}
	return unknown
}

// hasUnknownAttributes reports whether a request has attributes that must be understood and are not, and was made with
// key. If so, key authenticates the answer.
func (r *request) hasUnknownAttributes(key []byte) bool {
	if len(r.unknown) == 0 {
		return false
	}

	m := stun.Message{Raw: r.original}
	if m.Decode() != nil || stun.MessageIntegrity(key).Check(&m) != nil {
		return false
	}
	r.key = key
	return true
}

// grantedLifetime returns what pion makes of a request's LIFETIME: ten minutes if there is none, or if it is an hour or
// more.
func grantedLifetime(m *stun.Message) time.Duration {
	if v, err := m.Get(stun.AttrLifetime); err == nil && len(v) == 4 {
		if d := time.Duration(binary.BigEndian.Uint32(v)) * time.Second; d < time.Hour {
			return d
		}
	}
	return 10 * time.Minute
}

// validPeerAddresses reports whether every XOR-PEER-ADDRESS in a message is whole.
func validPeerAddresses(m *stun.Message) bool {
	for _, a := range m.Attributes {
		if a.Type == stun.AttrXORPeerAddress && !validAddress(a.Value) {
			return false
		}
	}
	return true
}

// validAddress reports whether v is an XOR-PEER-ADDRESS of IPv4 or IPv6.
func validAddress(v []byte) bool {
	return len(v) == 8 && v[1] == familyIPv4 || len(v) == 20 && v[1] == familyIPv6
}

// unsupported returns the error for an Allocate that asks for what it cannot have, 0 if there is none. pion would grant
// all of this: a relayed TCP address as if it were UDP, and whatever a reservation stands for.
//
// A client that asks for IPv6 gets an IPv4 address, although RFC 8656, section 7.2, wants 440. pion's client asks for
// the family of its own path to the relay, and ICE pairs only addresses of one family, so a viewer with only IPv6 and a
// camera with only IPv4 would never meet. A relayed address is a name inside this relay and belongs to no network.
func unsupported(m *stun.Message) stun.ErrorCode {
	transport, _ := m.Get(stun.AttrRequestedTransport)
	switch {
	case len(transport) > 0 && transport[0] == protocolTCP:
		return stun.CodeUnsupportedTransProto
	case m.Contains(stun.AttrReservationToken):
		return stun.CodeInsufficientCapacity
	}
	return 0
}

// undoReservation gives back what an Allocate has reserved, unless its allocation has it. It is called with each
// answer: by then the allocation either exists or never will.
func (r *request) undoReservation() {
	if r.undo != nil {
		r.undo()
		r.undo, r.lease = nil, lease{}
	}
}

// answer returns what to send instead of pion's answer p: p itself, if nothing has to change.
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
		m.SetType(stun.NewType(r.method, class)) // inspect may have shown pion another method
		out, err := stun.Build(r.errorResponse(&m, realm)...)
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

// errorResponse returns what to answer instead of pion's error m: with the code that is meant, and authenticated if the
// request was (RFC 8489 section 9.2.4), which pion does not do.
func (r *request) errorResponse(m *stun.Message, realm string) []stun.Setter {
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
		to := r.alternate.Addr().Unmap().AsSlice()
		setters = append(setters, &stun.AlternateServer{IP: to, Port: int(r.alternate.Port())})
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
