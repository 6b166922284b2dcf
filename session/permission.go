package session

import (
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/pion/stun/v3"
)

// permissionAgain is after how long a request for a permission that has no answer is sent again: with the next packet that is written, which is a
// check of ICE at most a few hundred milliseconds later.
const permissionAgain = 200 * time.Millisecond

// permissionTimes is how often a request is sent at most (RFC 8489, section 6.2.1, Rc).
const permissionTimes = 7

// maxPermissions bounds what one allocation is asked for: an end looks at 64 candidates of the other.
const maxPermissions = 64

// permissions are those of one TURN client over UDP. pion's asks for one with the first check of a pair and waits for the answer, and its ICE
// agent does nothing else meanwhile: a round trip with each pair where the relay lives, and 8 s of a session that stands still, the direct path
// too, where it has just died. So the request is sent on, and pion is told at once that it was granted: what follows over the same path arrives
// behind the request. What the relay refuses, because that address is another relay's, is refused here from then on.
type permissions struct {
	turn *TURN

	mu      sync.Mutex
	asked   map[netip.Addr]*permission // guarded by mu
	answers []answered                 // guarded by mu; for the reader, most of the time none
}

// permission is what is known of one that was asked for.
type permission struct {
	id      [stun.TransactionIDSize]byte
	request []byte // as pion signed it; nil: it was answered, or that is no longer hoped for
	sent    time.Time
	times   int
	refused bool
}

type answered struct {
	message []byte
	from    net.Addr
}

func newPermissions(turn *TURN) *permissions {
	return &permissions{turn: turn, asked: make(map[netip.Addr]*permission)}
}

// write looks at a message for the relay, and says what to send: itself, or less, where it asks for a permission that the relay refuses; nil:
// nothing would come of it. granted: pion need not wait for the relay's answer, and finds its own with read. again are requests to send once more.
func (p *permissions) write(b []byte, to net.Addr, now time.Time) (out []byte, granted bool, again [][]byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, one := range p.asked {
		if one.request == nil || now.Sub(one.sent) < permissionAgain {
			continue
		}
		if one.times == permissionTimes {
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
	case len(peers) > 1 || method != stun.MethodCreatePermission || p.asked[peers[0]] != nil || len(p.asked) == maxPermissions:
		return b, false, again
	}
	answer, id, ok := p.grant(b)
	if ok {
		p.asked[peers[0]] = &permission{id: id, request: slices.Clone(b), sent: now, times: 1}
		p.answers = append(p.answers, answered{answer, to})
	}
	return b, ok, again
}

// refuses is called with mu held.
func (p *permissions) refuses(peer netip.Addr) bool {
	one := p.asked[peer]
	return one != nil && one.refused
}

// without is a request to renew permissions, of which the relay would renew none for the sake of one; nil: nothing is left of it. mu is held.
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
	return stun.NewLongTermIntegrity(p.turn.Username, realm.String(), p.turn.Credential)
}

// read gives pion the answers that were made for it, one a call; nil: there is none.
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

// hear looks at a message of the relay; consumed: it answers a request that pion has its answer to.
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
		one.refused = m.Type.Class == stun.ClassErrorResponse && code.GetFrom(&m) == nil && code.Code == stun.CodeForbidden
		return true
	}
	return false
}

// grant makes the answer to a request, signed as pion expects it.
func (p *permissions) grant(request []byte) (answer []byte, id [stun.TransactionIDSize]byte, ok bool) {
	var m stun.Message
	var realm stun.Realm
	if p.turn == nil || stun.Decode(request, &m) != nil || realm.GetFrom(&m) != nil {
		return nil, id, false
	}
	a, err := stun.Build(stun.NewTransactionIDSetter(m.TransactionID), stun.NewType(stun.MethodCreatePermission, stun.ClassSuccessResponse),
		p.key(realm), stun.Fingerprint)
	if err != nil {
		return nil, id, false
	}
	return a.Raw, m.TransactionID, true
}

// peersOf is the method of a message that goes to a peer, or asks for a way to some, and those peers; none for every other message.
func peersOf(b []byte) (method stun.Method, peers []netip.Addr) {
	if len(b) < 20 || b[0] != 0 { // ChannelData among them, which is nearly all there is
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

// peerOf is the IP in an attribute; the zero Addr where there is none.
func peerOf(m *stun.Message, a stun.RawAttribute) netip.Addr {
	var address stun.XORMappedAddress
	one := stun.Message{TransactionID: m.TransactionID, Attributes: stun.Attributes{a}}
	if len(a.Value) < 4 || address.GetFromAs(&one, a.Type) != nil { // pion/stun v3 reads a short one beyond its end
		return netip.Addr{}
	}
	ip, _ := netip.AddrFromSlice(address.IP)
	return ip.Unmap()
}
