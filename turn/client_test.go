package turn

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/pion/stun/v3"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 10 * time.Second // for what must happen

// secret is one that no two calls share.
func secret() []byte {
	b := make([]byte, MinSecret)
	rand.Read(b)
	return b
}

func newKeys(t testing.TB) *Keys {
	t.Helper()
	k, err := NewKeys(secret(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func grant(t testing.TB, k *Keys) Grant {
	t.Helper()
	g, err := k.Grant("", time.Now(), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// ground is where a server and its clients are. Each calls what opens its sockets.
type ground struct {
	server, clients func(open func() error) error
}

// grounds are those that are not plain loopback, by server. settle makes one, where the tests are not to run over loopback.
var (
	grounds sync.Map // of *Server
	settle  = func(testing.TB, *Config) *ground { return nil }
)

// serve runs a server, on loopback unless settle knows better, until the test ends. Zero fields of c get what tests need.
func serve(t testing.TB, c Config, prepare ...func(*Server)) *Server {
	t.Helper()
	if c.Keys == nil {
		c.Keys = newKeys(t)
	}
	g := settle(t, &c)
	if c.Address == "" {
		c.Address = "127.0.0.1:0"
	}
	var s *Server
	open := func() (err error) { s, err = New(c); return err }
	if g != nil {
		inside := open
		open = func() error { return g.server(inside) }
	}
	if err := open(); err != nil {
		t.Fatal(err)
	}
	if g != nil {
		grounds.Store(s, g)
		t.Cleanup(func() { grounds.Delete(s) })
	}
	for _, f := range prepare {
		f(s)
	}
	run(t, s)
	return s
}

// run runs a server until the test ends, and then wants nothing left of it.
func run(t testing.TB, s *Server) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-ran:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(patience):
			t.Error("Run does not end")
		}
		if n := s.Stats(); n.Allocations != 0 || n.Sessions != 0 || n.Connections != 0 || addressesInUse(s) != 0 {
			t.Errorf("left behind: %+v", n)
		}
	})
}

// client is a TURN client that does nothing by itself and shows every answer.
type client struct {
	t       testing.TB
	conn    net.Conn
	in      *bufio.Reader // nil over UDP
	cred    Credential
	realm   string
	nonce   stun.Nonce
	relayed *net.UDPAddr
	data    []received    // came in while an answer was awaited
	ends    []stun.Setter // what ask puts behind everything
}

// received is a packet from a peer: by channel, or if that is 0, from an address.
type received struct {
	channel uint16
	from    string
	data    string
}

func dial(t testing.TB, s *Server, transport string, cred Credential) *client {
	t.Helper()
	var conn net.Conn
	open := func() (err error) {
		a := s.Addresses()
		switch transport {
		case "udp":
			conn, err = net.Dial("udp", a.UDP.String())
		case "tcp":
			conn, err = net.Dial("tcp", a.TCP.String())
		case "shared":
			conn, err = net.Dial("tcp", s.config.Shared.Addr().String())
		case "tls":
			conn, err = tls.Dial("tcp", a.TLS.String(), &tls.Config{InsecureSkipVerify: true})
		}
		return err
	}
	err := error(nil)
	if g, ok := grounds.Load(s); ok && transport != "shared" { // that listener is the test's own
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

// do sends a request as it is and returns the answer.
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
			c.t.Error("answer says what software this is")
		}
		if a.Type.Method != m.Type.Method {
			c.t.Errorf("answer to %v is %v", m.Type, a.Type)
		}
		if m.Contains(stun.AttrFingerprint) && stun.Fingerprint.Check(a) != nil || !m.Contains(stun.AttrFingerprint) && m.Type != stun.BindingRequest && a.Contains(stun.AttrFingerprint) {
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

// ask sends an authenticated request, with a nonce fetched first where there is none.
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
	anonymous := code == 401 || code == 438 || code == 441 || code == 437 && method != stun.MethodAllocate // no key is known, or not whose
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

// peerAttribute writes an address exactly as given: a mapped one stays mapped.
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
	_, code := c.ask(stun.MethodChannelBind, attribute(stun.AttrChannelNumber, byte(channel>>8), byte(channel), 0, 0), peer)
	return code
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

// fence returns when the server has done with all that c has sent: it handles a client's messages in turn.
func (c *client) fence() {
	c.t.Helper()
	if m := c.do(stun.BindingRequest); c.code(m) != 0 {
		c.t.Fatalf("binding: %v", m)
	}
}

// addressesInUse counts what the relay has handed out.
func addressesInUse(s *Server) int {
	s.relay.mu.Lock()
	defer s.relay.mu.Unlock()
	return len(s.relay.addresses)
}

// pair is a camera and a viewer of one session, both with an allocation.
func pair(t testing.TB, s *Server, cameraOver, viewerOver string) (cam, view *client) {
	t.Helper()
	g := grant(t, s.config.Keys)
	cam, view = dial(t, s, cameraOver, g.Camera), dial(t, s, viewerOver, g.Viewer)
	if a, b := cam.allocate(), view.allocate(); a != 0 || b != 0 {
		t.Fatalf("allocate: %d, %d", a, b)
	}
	return cam, view
}

// sink is a real UDP socket on loopback that must receive nothing.
func sink(t *testing.T) *net.UDPConn {
	t.Helper()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// untouched fails unless the first packet to reach the socket is the one that it now sends itself: packets on loopback
// arrive in the order in which they were sent.
func untouched(t *testing.T, c *net.UDPConn) {
	t.Helper()
	if _, err := c.WriteTo([]byte("own"), c.LocalAddr()); err != nil {
		t.Fatal(err)
	}
	c.SetReadDeadline(time.Now().Add(patience))
	p := make([]byte, 100)
	n, from, err := c.ReadFrom(p)
	if err != nil || string(p[:n]) != "own" {
		t.Errorf("a packet got out: %q from %v, %v", p[:n], from, err)
	}
}
