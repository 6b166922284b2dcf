package turnclient

import (
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/pion/stun/v3"
)

// permissionAgain is how long to wait for the answer to a request for a permission before sending the request again.
// That happens with the next packet that pion writes: at the latest a check of ICE, a few hundred milliseconds later.
const permissionAgain = 200 * time.Millisecond

// maxRequests is how often a request is sent at most (RFC 8489, section 6.2.1, Rc).
const maxRequests = 7

// maxPermissions bounds the permissions of one allocation. An end checks at most 40 candidates of the other end.
const maxPermissions = 64

// permissions handles the permissions of one TURN client over UDP. pion asks for one with the first check of a pair and
// waits for the answer, and its ICE agent does nothing else meanwhile. That takes a round trip for each pair if the
// relay is alive, and 8 s during which the whole session freezes, even a direct path, if it has just died. So
// permissions sends the request on, and gives pion a success response at once: whatever pion sends next arrives behind
// the request. If the relay refuses an address, because it belongs to another relay, permissions refuses it from then
// on.
type permissions struct {
	credentials credentials

	mu      sync.Mutex
	asked   map[netip.Addr]*permission // guarded by mu
	answers []answered                 // guarded by mu; answers for the reader, usually none
}

// permission is what is known about a permission that was requested.
type permission struct {
	id      [stun.TransactionIDSize]byte
	request []byte // as pion signed it; nil once it has been answered, or sent maxRequests times
	sent    time.Time
	times   int
	refused bool
}

// credentials are those of one end's TURN clients (RFC 8489, section 9.2).
type credentials struct{ username, password string }

type answered struct {
	message []byte
	from    net.Addr
}

func newPermissions(c credentials) *permissions {
	return &permissions{credentials: c, asked: make(map[netip.Addr]*permission)}
}

// write looks at a message for the relay. out is what to send: the message, or less of it if it asks for a permission
// that the relay refuses, or nil if nothing is left. granted is true if pion need not wait for the relay, because read
// returns the answer. again holds requests to send once more.
func (p *permissions) write(b []byte, to net.Addr, now time.Time) (out []byte, granted bool, again [][]byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, one := range p.asked {
		if one.request == nil || now.Sub(one.sent) < permissionAgain {
			continue
		}
		if one.times == maxRequests {
			one.request = nil
			continue
		}
		one.times, one.sent = one.times+1, now
		again = append(again, one.request)
	}

	method, peers := peersOf(b)
	switch {
	case len(peers) == 0 || !peers[0].IsValid():
		return b, false, again
	case slices.ContainsFunc(peers, p.refuses):
		return p.without(b), false, again
	case len(peers) > 1 || method != stun.MethodCreatePermission || p.asked[peers[0]] != nil ||
		len(p.asked) == maxPermissions:
		return b, false, again
	}

	answer, id, ok := p.grant(b)
	if ok {
		p.asked[peers[0]] = &permission{id: id, request: slices.Clone(b), sent: now, times: 1}
		p.answers = append(p.answers, answered{answer, to})
	}

	return b, ok, again
}

// refuses reports whether the relay has refused a permission for an address. mu must be held.
func (p *permissions) refuses(peer netip.Addr) bool {
	one := p.asked[peer]
	return one != nil && one.refused
}

// without returns a request to renew permissions without those that the relay refuses, because otherwise the relay
// would renew none of them. It returns nil if none is left. mu must be held.
func (p *permissions) without(b []byte) []byte {
	var m stun.Message
	var realm stun.Realm
	if stun.Decode(b, &m) != nil || realm.GetFrom(&m) != nil {
		return nil
	}
	setters := []stun.Setter{stun.NewTransactionIDSetter(m.TransactionID), m.Type}
	peers := 0

	for _, a := range m.Attributes {
		switch a.Type {
		case stun.AttrXORPeerAddress:
			if peer := peerOf(&m, a); p.refuses(peer) {
				continue
			}
			peers++
		case stun.AttrMessageIntegrity, stun.AttrFingerprint:
			continue
		}
		setters = append(setters, stun.RawAttribute{Type: a.Type, Value: a.Value})
	}

	out, err := stun.Build(append(setters, p.key(realm), stun.Fingerprint)...)
	if err != nil || peers == 0 {
		return nil
	}
	return out.Raw
}

func (p *permissions) key(realm stun.Realm) stun.MessageIntegrity {
	return stun.NewLongTermIntegrity(p.credentials.username, realm.String(), p.credentials.password)
}

// read returns the next answer that permissions has made for pion, or nil if there is none.
func (p *permissions) read() (message []byte, from net.Addr) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.answers) == 0 {
		return nil, nil
	}
	first := p.answers[0]
	p.answers = p.answers[1:]
	return first.message, first.from
}

// hear looks at a message from the relay. consumed is true if it answers a request whose answer pion already has.
func (p *permissions) hear(b []byte) (consumed bool) {
	if len(b) < 20 || b[0] != 0x01 || b[1]&0xef != 0x08 || !stun.IsMessage(b) { // CreatePermission, response
		return false
	}
	var m stun.Message
	if stun.Decode(b, &m) != nil {
		return false
	}

	p.mu.Lock()
	defer p.mu.Unlock()
	for _, one := range p.asked {
		if one.id != m.TransactionID {
			continue
		}
		var code stun.ErrorCodeAttribute
		one.request = nil
		one.refused = m.Type.Class == stun.ClassErrorResponse && code.GetFrom(&m) == nil &&
			code.Code == stun.CodeForbidden
		return true
	}

	return false
}

// grant makes the answer to a request, signed as pion expects it.
func (p *permissions) grant(request []byte) (answer []byte, id [stun.TransactionIDSize]byte, ok bool) {
	var m stun.Message
	var realm stun.Realm
	if p.credentials == (credentials{}) || stun.Decode(request, &m) != nil || realm.GetFrom(&m) != nil {
		return nil, id, false
	}
	a, err := stun.Build(stun.NewTransactionIDSetter(m.TransactionID),
		stun.NewType(stun.MethodCreatePermission, stun.ClassSuccessResponse),
		p.key(realm), stun.Fingerprint)
	if err != nil {
		return nil, id, false
	}
	return a.Raw, m.TransactionID, true
}

// peersOf returns the method and the peers of a message that goes to a peer, or that asks for a permission or a
// channel. It returns none for any other message.
func peersOf(b []byte) (method stun.Method, peers []netip.Addr) {
	if len(b) < 20 || b[0] != 0 { // such as ChannelData, which nearly all messages are
		return 0, nil
	}
	switch stun.Method(b[1]) {
	case stun.MethodCreatePermission, stun.MethodChannelBind, 0x10 | stun.MethodSend: // an indication
	default:
		return 0, nil
	}

	var m stun.Message
	if !stun.IsMessage(b) || stun.Decode(b, &m) != nil {
		return 0, nil
	}
	for _, a := range m.Attributes {
		if a.Type == stun.AttrXORPeerAddress {
			peers = append(peers, peerOf(&m, a))
		}
	}

	return m.Type.Method, peers
}

// peerOf returns the IP address in an attribute, or the zero Addr if there is none.
func peerOf(m *stun.Message, a stun.RawAttribute) netip.Addr {
	var address stun.XORMappedAddress
	one := stun.Message{TransactionID: m.TransactionID, Attributes: stun.Attributes{a}}
	if len(a.Value) < 4 || address.GetFromAs(&one, a.Type) != nil { // pion/stun v3 reads beyond a short one's end
		return netip.Addr{}
	}
	ip, _ := netip.AddrFromSlice(address.IP)
	return ip.Unmap()
}
