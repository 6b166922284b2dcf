package turn

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/pion/stun/v3"
)

// client is a TURN client that does nothing on its own and shows every answer.
type client struct {
	t       testing.TB
	conn    net.Conn
	in      *bufio.Reader // nil over UDP
	cred    Credential
	realm   string
	nonce   stun.Nonce
	relayed *net.UDPAddr
	data    []received    // packets that came while it waited for an answer
	ends    []stun.Setter // added at the end by ask
}

// received is a packet from a peer, by a channel or, if that is 0, from an address.
type received struct {
	channel uint16
	from    string
	data    string
}

func dial(t testing.TB, s *Server, transport string, cred Credential) *client {
	t.Helper()
	var conn net.Conn
	open := func() (err error) {
		switch transport {
		case "udp":
			conn, err = net.Dial("udp", s.Addresses().UDP.String())
		case "tcp":
			conn, err = net.Dial("tcp", tcpOf(s).String())
		case "tls":
			conn, err = tls.Dial("tcp", tlsOf(s).String(), &tls.Config{InsecureSkipVerify: true})
		}
		return err
	}

	err := error(nil)
	if g, ok := grounds.Load(s); ok {
		err = g.(*ground).clients(open)
	} else {
		err = open()
	}

	if err != nil {
		t.Fatal(err)
	}
	return speak(t, conn, cred)
}

// speak makes a client of a connection.
func speak(t testing.TB, conn net.Conn, cred Credential) *client {
	t.Cleanup(func() { conn.Close() })
	c := &client{t: t, conn: conn, cred: cred, realm: "peephole"}
	if _, datagrams := conn.(net.PacketConn); !datagrams {
		c.in = bufio.NewReader(conn)
	}
	return c
}

func (c *client) write(p []byte) {
	c.t.Helper()
	if _, err := c.conn.Write(p); err != nil {
		c.t.Fatalf("write: %v", err)
	}
}

// next reads one message.
func (c *client) next() []byte {
	c.t.Helper()
	c.conn.SetReadDeadline(time.Now().Add(patience))
	p := make([]byte, 2048)
	var n int
	var err error
	if c.in == nil {
		n, err = c.conn.Read(p)
	} else if _, err = io.ReadFull(c.in, p[:4]); err == nil {
		if n, err = frameLength(p[:4]); err == nil {
			_, err = io.ReadFull(c.in, p[4:n])
		}
	}

	if err != nil {
		c.t.Fatalf("read: %v", err)
	}
	return p[:n]
}

// do sends a request as given and returns the answer.
func (c *client) do(setters ...stun.Setter) *stun.Message {
	c.t.Helper()
	m, err := stun.Build(append([]stun.Setter{stun.TransactionID}, setters...)...)
	if err != nil {
		c.t.Fatal(err)
	}
	c.write(m.Raw)

	for {
		p := c.next()
		if r, ok := c.packet(p); ok {
			c.data = append(c.data, r)
			continue
		}
		a := &stun.Message{Raw: p}
		if err := a.Decode(); err != nil {
			c.t.Fatalf("decode answer: %v", err)
		}
		if a.TransactionID != m.TransactionID {
			c.t.Fatalf("answer %v to another request", a)
		}

		if a.Contains(stun.AttrSoftware) {
			c.t.Error("the answer names our software")
		}
		if a.Type.Method != m.Type.Method {
			c.t.Errorf("answer to %v is %v", m.Type, a.Type)
		}

		if m.Contains(stun.AttrFingerprint) && stun.Fingerprint.Check(a) != nil ||
			!m.Contains(stun.AttrFingerprint) && m.Type != stun.BindingRequest && a.Contains(stun.AttrFingerprint) {
			c.t.Errorf("FINGERPRINT of the answer to %v, which has one: %v", m.Type, m.Contains(stun.AttrFingerprint))
		}
		return a
	}
}

// packet reads ChannelData or a Data indication.
func (c *client) packet(p []byte) (received, bool) {
	if p[0]>>6 == 1 {
		n := binary.BigEndian.Uint16(p[2:])
		return received{channel: binary.BigEndian.Uint16(p), data: string(p[4 : 4+n])}, true
	}
	m := &stun.Message{Raw: p}
	if m.Decode() != nil || m.Type != stun.NewType(stun.MethodData, stun.ClassIndication) {
		return received{}, false
	}

	var from stun.XORMappedAddress
	if err := from.GetFromAs(m, stun.AttrXORPeerAddress); err != nil {
		c.t.Fatalf("Data indication: %v", err)
	}
	data, _ := m.Get(stun.AttrData)
	return received{from: from.String(), data: string(data)}, true
}

// receive returns the next packet from a peer.
func (c *client) receive() received {
	c.t.Helper()
	if len(c.data) > 0 {
		r := c.data[0]
		c.data = c.data[1:]
		return r
	}

	r, ok := c.packet(c.next())
	if !ok {
		c.t.Fatal("not a packet from a peer")
	}
	return r
}

// code returns the error code of an answer, 0 for success.
func (c *client) code(m *stun.Message) int {
	if m.Type.Class == stun.ClassSuccessResponse {
		return 0
	}
	var e stun.ErrorCodeAttribute
	if err := e.GetFrom(m); err != nil {
		c.t.Fatalf("answer %v without a code: %v", m.Type, err)
	}
	return int(e.Code)
}

// ask sends an authenticated request. It fetches a nonce first if it has none.
func (c *client) ask(method stun.Method, setters ...stun.Setter) (*stun.Message, int) {
	c.t.Helper()
	request := stun.NewType(method, stun.ClassRequest)
	if c.nonce == nil {
		m := c.do(stun.NewType(stun.MethodAllocate, stun.ClassRequest))
		if c.code(m) != 401 || c.nonce.GetFrom(m) != nil {
			c.t.Fatalf("no challenge: %v", m)
		}
	}

	key := stun.NewLongTermIntegrity(c.cred.Username, c.realm, c.cred.Password)
	m := c.do(slices.Concat([]stun.Setter{request}, setters,
		[]stun.Setter{stun.NewUsername(c.cred.Username), stun.NewRealm(c.realm), c.nonce, key}, c.ends)...)
	code := c.code(m)

	// no key is known, or not whose
	anonymous := code == 401 || code == 438 || code == 441 || code == 437 && method != stun.MethodAllocate
	if !anonymous {
		if err := key.Check(m); err != nil {
			c.t.Errorf("answer %d to %v: %v", code, method, err)
		}
	}

	return m, code
}

func attribute(t stun.AttrType, v ...byte) stun.RawAttribute {
	return stun.RawAttribute{Type: t, Value: v}
}

var wantUDP = attribute(stun.AttrRequestedTransport, 17, 0, 0, 0)

// allocate returns the code, 0 for success.
func (c *client) allocate(extra ...stun.Setter) int {
	c.t.Helper()
	m, code := c.ask(stun.MethodAllocate, append([]stun.Setter{wantUDP}, extra...)...)
	if code == 0 {
		var a stun.XORMappedAddress
		if err := a.GetFromAs(m, stun.AttrXORRelayedAddress); err != nil {
			c.t.Fatal(err)
		}
		c.relayed = &net.UDPAddr{IP: a.IP, Port: a.Port}
	}

	return code
}

// refresh asks for a lifetime in seconds.
func (c *client) refresh(seconds byte) int {
	c.t.Helper()
	_, code := c.ask(stun.MethodRefresh, attribute(stun.AttrLifetime, 0, 0, 0, seconds))
	return code
}

// peerAttribute is an XOR-PEER-ADDRESS of an address exactly as given: a mapped one stays mapped.
type peerAttribute netip.AddrPort

func (a peerAttribute) AddTo(m *stun.Message) error {
	ap := netip.AddrPort(a)
	ip, family := ap.Addr().AsSlice(), byte(familyIPv4)
	if len(ip) == 16 {
		family = familyIPv6
	}

	mask := append([]byte{0x21, 0x12, 0xa4, 0x42}, m.TransactionID[:]...)
	for i := range ip {
		ip[i] ^= mask[i]
	}
	v := binary.BigEndian.AppendUint16([]byte{0, family}, ap.Port()^0x2112)
	m.Add(stun.AttrXORPeerAddress, append(v, ip...))
	return nil
}

func peerAt(a *net.UDPAddr) peerAttribute { return peerAttribute(a.AddrPort()) }

func (c *client) permit(peers ...stun.Setter) int {
	c.t.Helper()
	_, code := c.ask(stun.MethodCreatePermission, peers...)
	return code
}

func (c *client) bind(channel uint16, peer stun.Setter) int {
	c.t.Helper()
	_, code := c.ask(stun.MethodChannelBind, attribute(stun.AttrChannelNumber, byte(channel>>8), byte(channel), 0, 0),
		peer)
	return code
}

// permitBoth makes both ends permit each other.
func permitBoth(a, b *client) {
	a.t.Helper()
	if x, y := a.permit(peerAt(b.relayed)), b.permit(peerAt(a.relayed)); x != 0 || y != 0 {
		a.t.Fatalf("permission: %d, %d", x, y)
	}
}

// bindBoth makes both ends bind a channel to each other.
func bindBoth(a *client, channel uint16, b *client, other uint16) {
	a.t.Helper()
	if x, y := a.bind(channel, peerAt(b.relayed)), b.bind(other, peerAt(a.relayed)); x != 0 || y != 0 {
		a.t.Fatalf("channel: %d, %d", x, y)
	}
}

// send sends data in a Send indication.
func (c *client) send(peer stun.Setter, data string) {
	c.t.Helper()
	m, err := stun.Build(stun.TransactionID, stun.NewType(stun.MethodSend, stun.ClassIndication),
		attribute(stun.AttrData, []byte(data)...), peer)
	if err != nil {
		c.t.Fatal(err)
	}
	c.write(m.Raw)
}

func (c *client) sendChannel(channel uint16, data string) {
	c.t.Helper()
	p := binary.BigEndian.AppendUint16(nil, channel)
	p = append(binary.BigEndian.AppendUint16(p, uint16(len(data))), data...)
	for len(p)%4 != 0 {
		p = append(p, 0)
	}
	c.write(p)
}

// fence returns once the server has handled everything that c has sent: it handles a client's messages in order.
func (c *client) fence() {
	c.t.Helper()
	if m := c.do(stun.BindingRequest); c.code(m) != 0 {
		c.t.Fatalf("binding: %v", m)
	}
}

// pair returns a camera and a viewer of one session, both with an allocation.
func pair(t testing.TB, s *Server, cameraOver, viewerOver string) (cam, view *client) {
	t.Helper()
	g := grant(t, s.config.Keys)
	cam, view = dial(t, s, cameraOver, g.Camera), dial(t, s, viewerOver, g.Viewer)
	if a, b := cam.allocate(), view.allocate(); a != 0 || b != 0 {
		t.Fatalf("allocate: %d, %d", a, b)
	}
	return cam, view
}
