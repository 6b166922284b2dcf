package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pion/stun/v3"

	"github.com/peephole-cam/peephole/nat"
	"github.com/peephole-cam/peephole/nat/portmap"
	"github.com/peephole-cam/peephole/signaling"
	"github.com/peephole-cam/peephole/test/selfsigned"
	"github.com/peephole-cam/peephole/test/signalingtest"
	"github.com/peephole-cam/peephole/test/tcptest"
)

// line is a finding, and the text that a person should read.
type line struct {
	name string
	Finding
	want string
}

func (l line) check(t *testing.T) {
	t.Helper()
	if l.Text != l.want {
		t.Errorf("%s: says %q\nwant %q", l.name, l.Text, l.want)
	}
}

// Whatever keeps a relay from answering, its line says what to do about it.
func TestLinesOfHTTPS(t *testing.T) {
	now := time.Now()
	away := func(err error) *contact { return &contact{Relay: Relay{URL: "https://relay.example"}, err: err} }
	answered := func(status int) *contact {
		return &contact{Relay: Relay{URL: "http://127.0.0.1:7880"}, status: status}
	}
	dated := func(ahead time.Duration) *contact { return &contact{dated: true, offset: ahead} }

	for _, l := range []line{
		{"it answers", answered(http.StatusOK).checkHTTPS(), "the relay answers"},
		{"a broken proxy", answered(http.StatusBadGateway).checkHTTPS(),
			"the answer is HTTP 502: check the URL, and any proxy in front of the relay"},
		{"no network", away(syscall.ENETUNREACH).checkHTTPS(),
			"no network leads to it: connect this machine to the internet"},
		{"silence", away(context.DeadlineExceeded).checkHTTPS(),
			"no answer: the relay is down, or this network blocks HTTPS to its port"},
		{"no answer", away(io.EOF).checkCertificate(now), "no certificate was seen, since the relay does not answer"},
		{"plain HTTP", answered(http.StatusOK).checkCertificate(now), "none is needed: the relay is on this machine"},
		{"no date", answered(http.StatusOK).checkClock(),
			"the relay does not say the time, so this machine's clock was not compared"},
		{"the same time", dated(0).checkClock(), "this machine's clock and the relay's agree"},
		{"another time", dated(-time.Hour).checkClock(),
			"this machine's clock is 1h0m0s ahead of the relay's: turn on automatic time on the one that is wrong, " +
				"since cameras refuse messages from another time"},
	} {
		l.check(t)
	}
}

func TestLinesOfCertificates(t *testing.T) {
	now := time.Now()
	leaf := func(until time.Duration) *x509.Certificate {
		return selfsigned.Valid(t, "relay.example", now.Add(-72*time.Hour), now.Add(until)).Leaf
	}
	file := writeChain(t, leaf(time.Hour))
	for _, l := range []line{
		{"over", judgeCertificate(Finding{}, nil, leaf(-49*time.Hour), now),
			"it expired 2 days ago: renew it, and reload the relay (kill -HUP), " +
				"or set this machine's clock if that is wrong"},
		{"soon over", judgeCertificate(Finding{}, nil, leaf(49*time.Hour), now),
			"it expires in 2 days: renew it, and reload the relay (kill -HUP)"},
		{"another fault", judgeCertificate(Finding{}, errors.New("constrained"), leaf(49*time.Hour), now),
			"it cannot be trusted: get a new one"},
		{"no file", Operator{}.checkCertificateFile(&contact{}, now),
			"none is needed: a proxy on this machine ends TLS, or there is no TLS"},
		{"no URL", Operator{Relay: Relay{URL: "://"}, Certificate: file}.checkCertificateFile(&contact{}, now),
			"the public URL is malformed"},
	} {
		l.check(t)
	}
}

// udpOf returns the result of asking one main port over UDP.
func udpOf(says bool, main string, answers bool) *udp {
	u := &udp{
		contact: &contact{says: says},
		main:    map[string]netip.AddrPort{},
		answers: map[string]nat.Binding{},
		seconds: map[string]nat.Binding{},
	}

	if main == "" {
		return u
	}
	at := netip.MustParseAddrPort(main)
	family := "4"
	if at.Addr().Is6() {
		family = "6"
	}

	u.main[family] = at
	if answers {
		u.answers[family] = nat.Binding{Took: 7 * time.Millisecond}
	}
	return u
}

func TestLinesOfUDP(t *testing.T) {
	const four, six = "192.0.2.1:3478", "[2001:db8::1]:3478"
	public, private := []netip.Addr{netip.MustParseAddr("2001:db8::2")},
		[]netip.Addr{netip.MustParseAddr("192.168.1.2")}

	for _, l := range []line{
		{"through", udpOf(true, four, true).checkUDP(), "it gets through, over IPv4, in 7 ms"},
		{"no port", udpOf(true, "", false).checkUDP(), "the relay's UDP port is not known here"},
		{"the usual one, silent", udpOf(false, four, false).checkUDP(),
			"nothing answers at the usual port, and the relay could not say whether it has another: " +
				"fix https and certificate first"},
		{"blocked", udpOf(true, four, false).checkUDP(),
			"no answer from port 3478: let UDP out to it in the firewall, or pictures take the slower path over TCP"},
		{"IPv6", checkIPv6([]*udp{udpOf(true, six, true)}, public), "it gets through, and no NAT is in its way"},
		{"no relay with IPv6", checkIPv6([]*udp{udpOf(true, four, true)}, public),
			"none of these relays has an IPv6 address to test with"},
		{"none, but IPv4", checkIPv6([]*udp{udpOf(true, four, true)}, private),
			"this machine has no IPv6, but IPv4 works; if your router offers IPv6, turn it on: no NAT is in its way"},
		{"none at all", checkIPv6([]*udp{udpOf(true, four, false)}, private), "this machine has no IPv6"},
		{"no UDP", checkIPv6([]*udp{udpOf(true, six, false)}, public),
			"no UDP gets out of this network, over IPv6 or IPv4"},
		{"broken", checkIPv6([]*udp{udpOf(true, six, false), udpOf(true, four, true)}, public),
			"this machine has an IPv6 address, but gets no answer: repair IPv6 in the router, or turn it off"},
	} {
		l.check(t)
	}
}

// answeringTCP starts a TCP server that sends text to every client, and returns its port.
func answeringTCP(t *testing.T, text string) uint16 {
	t.Helper()
	at := tcptest.Start(t, func(c net.Conn) {
		_, _ = io.WriteString(c, text)
		_, _ = io.Copy(io.Discard, c)
	})
	return at.Port()
}

func TestLinesOfTCP(t *testing.T) {
	other := answeringTCP(t, strings.Repeat("220 not TURN\r\n", 4))
	tcpOf := func(servers ...server) *contact { return &contact{says: true, servers: servers} }
	tcp := func(port uint16) *contact {
		return tcpOf(server{kind: "turn", tcp: true, host: "127.0.0.1", port: port})
	}
	for _, l := range []line{
		{"none", tcpOf().checkTCP(t.Context()), "the relay has no TURN server over TCP, or does not say so"},
		{"another server", tcp(other).checkTCP(t.Context()),
			fmt.Sprintf("something other than TURN answers at port %d: "+
				"let TCP to that port pass in the firewall or proxy in between", other)},
		{"refused", tcp(1).checkTCP(canceled(t)),
			"port 1 cannot be reached: let TCP out to it in the firewall, " +
				"or pictures go over TLS where UDP is blocked"},
	} {
		l.check(t)
	}
}

// canceled returns a context that has ended: nothing can be reached with it, on any machine.
func canceled(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

// servingTLS starts a server that speaks as much TURN over TLS as the doctor needs, and returns its port. It passes the
// first 20 bytes of each connection to answer, and sends what answer returns.
func servingTLS(t *testing.T, certificate tls.Certificate, answer func(request []byte) []byte) uint16 {
	t.Helper()
	config := &tls.Config{Certificates: []tls.Certificate{certificate}, NextProtos: []string{alpnTURN}}
	at := tcptest.StartTLS(t, config, func(c net.Conn) {
		request := make([]byte, 20)
		if _, err := io.ReadFull(c, request); err == nil {
			_, _ = c.Write(answer(request))
		}
	})

	return at.Port()
}

func TestLinesOfTLS(t *testing.T) {
	certificate := selfsigned.New(t, "127.0.0.1")
	turn := servingTLS(t, certificate, func(request []byte) []byte {
		return append([]byte{1, 1, 0, 0}, request[4:]...) // a Binding success response without attributes
	})
	other := servingTLS(t, certificate, func([]byte) []byte { return []byte(strings.Repeat("220 not TURN\r\n", 4)) })

	roots := x509.NewCertPool()
	roots.AddCert(certificate.Leaf)
	trusting, strange := Relay{URL: "https://127.0.0.1", Trust: &tls.Config{RootCAs: roots}},
		Relay{URL: "https://127.0.0.1"}
	of := func(ctx context.Context, r Relay, port uint16) Finding {
		c := &contact{
			Relay:   r,
			says:    true,
			servers: []server{{kind: "turns", tcp: true, host: "127.0.0.1", port: port}},
		}
		return c.checkTLS(ctx)
	}
	for _, l := range []line{
		{"none", (&contact{Relay: trusting, says: true}).checkTLS(t.Context()),
			"the relay has no TURN server over TLS, or does not say so"},
		{"through", of(t.Context(), trusting, turn), fmt.Sprintf("TURN over TLS gets through, at port %d", turn)},
		{"not trusted", of(t.Context(), strange, turn), "its certificate is not trusted here: see certificate"},
		{"another server", of(t.Context(), trusting, other),
			fmt.Sprintf("something other than TURN answers at port %d: "+
				"a proxy ends TLS in front of the relay; let it pass TCP through", other)},
		{"closed", of(canceled(t), trusting, 1),
			"port 1 cannot be reached over TLS: let it out in the firewall or proxy here, " +
				"since it is the only way where UDP is blocked"},
	} {
		l.check(t)
	}
}

func TestLinesOfSignaling(t *testing.T) {
	url := signalingtest.Serve(t, func(c signalingtest.Conn) {
		c.Say(signaling.Challenge{Time: uint64(time.Now().UnixMilli())})
		_, _ = c.Read() // until the doctor leaves
	})
	check := func(c contact) Finding { return c.checkSignaling(t.Context()) }
	for _, l := range []line{
		{"no HTTPS", check(contact{err: io.EOF}), "not tested: it needs HTTPS, which does not get through"},
		{"through", check(contact{Relay: Relay{URL: url}}), "WebSocket gets through"},
		{"idle", check(contact{Relay: Relay{URL: url, Idle: time.Second}}),
			"WebSocket gets through, and stays open when idle for 1 s"},
		{"not trusted", check(contact{Relay: fake(t, selfsigned.New(t, "other.example"), says(oneServer))}),
			"the relay's certificate is not trusted here: see certificate"},
	} {
		l.check(t)
	}

	closed := contact{Relay: Relay{URL: "http://127.0.0.1:1"}}
	if f := closed.checkSignaling(canceled(t)); !strings.HasPrefix(f.Text, "WebSocket does not get through: ") {
		t.Errorf("another failure: says %q", f.Text)
	}
}

func TestLinesOfWebTransport(t *testing.T) {
	check := func(c contact) Finding { return c.checkWebTransport(t.Context()) }
	silent := selfsigned.New(t, "127.0.0.1")
	for _, l := range []line{
		{"no HTTPS", check(contact{err: io.EOF}), "not tested: it needs HTTPS, which does not get through"},
		{"no TLS", check(contact{Relay: Relay{URL: "http://127.0.0.1:1"}}),
			"there is none without TLS; signaling goes over WebSocket"},
		{"it connects", judgeWebTransport(Finding{}, nil), "it gets through, so viewers connect a round trip sooner"},
		{"not offered", check(contact{Relay: fake(t, silent, says(oneServer))}),
			"it does not get through, or the relay does not offer it; signaling goes over WebSocket, " +
				"which takes a round trip more to connect"},
	} {
		l.check(t)
		if l.Verdict == Bad {
			t.Errorf("%s: to do without HTTP/3 is called a fault", l.name)
		}
	}
}

func TestLinesOfTheNAT(t *testing.T) {
	of := func(m nat.Mapping, family string, opened bool) Finding {
		return behaviour{family: family, mapping: m, answers: []nat.Binding{{}}}.checkMapping(opened)
	}
	through := func(f nat.Filtering) Finding { return behaviour{filtering: f}.checkFiltering() }
	loop := func(m nat.Mapping, yes bool) Finding {
		asked := nat.Binding{Mapped: netip.MustParseAddrPort("198.51.100.1:5000")}
		return behaviour{family: "4", mapping: m, hairpins: yes, asked: asked}.checkHairpin()
	}
	for _, l := range []line{
		{"no UDP", of(nat.UnknownMapping, "", false), "no UDP gets through to test with"},
		{"no NAT", of(nat.NoMapping, "4", false), "there is no NAT in front of this machine"},
		{"endpoint-independent", of(nat.EndpointIndependent, "4", false),
			"the NAT gives a port one outside address for all destinations: direct paths work"},
		{"symmetric, opened", of(nat.AddressDependent, "4", true),
			"the NAT is symmetric, but the router opens ports, which makes up for it"},
		{"symmetric", of(nat.AddressDependent, "4", false),
			"the NAT is symmetric (a different outside address for each destination), so most pictures are relayed: " +
				"turn on UPnP, NAT-PMP or PCP in the router, or IPv6, or full cone NAT"},
		{"one answer", of(nat.UnknownMapping, "4", false),
			"one answer is not enough to tell: it takes a relay with two UDP ports, or a second relay (-relay URL)"},
		{"open", through(nat.OpenFiltering),
			"an open port receives from anywhere: the other end may have any NAT"},
		{"by address", through(nat.AddressFiltering),
			"an address that was sent to may answer from any port: the other end may have a symmetric NAT"},
		{"by port", through(nat.AddressAndPortFiltering),
			"only answers get in: this is usual, and fine for direct paths unless the other end's NAT is symmetric"},
		{"not known", through(nat.UnknownFiltering),
			"testing this takes a relay with two UDP ports or, better, two relays (-relay URL)"},
		{"no NAT to loop", loop(nat.NoMapping, false), "not needed: there is no NAT"},
		{"hairpins", loop(nat.EndpointIndependent, true),
			"devices behind this router reach each other at their outside addresses"},
		{"none", loop(nat.EndpointIndependent, false),
			"no hairpinning: devices behind this router connect by their inside addresses"},
	} {
		l.check(t)
	}

	if f := of(nat.EndpointIndependent, "4", false); !strings.Contains(f.Addresses[0], " seen by ") {
		t.Errorf("addresses %q", f.Addresses)
	}
}

func TestLinesOfTheRouter(t *testing.T) {
	symmetric := behaviour{mapping: nat.AddressDependent}
	outside := netip.MustParseAddrPort("198.51.100.1:5000")

	for _, l := range []line{
		{"opens", opened{asked: true, outside: outside}.finding(symmetric),
			"the router opens a port when asked, and has closed it again"},
		{"inside", opened{asked: true, err: portmap.ErrInside}.finding(symmetric),
			"the router opens ports, but is behind another NAT itself: ask whoever runs that one"},
		{"nobody asked", opened{}.finding(symmetric),
			"no router was asked: this machine has none in front of it, or -no-portmap was given"},
		{"refuses", opened{asked: true, err: portmap.ErrRefused}.finding(symmetric),
			"the router opens no port: turn on UPnP, NAT-PMP or PCP in it, which makes up for its symmetric NAT"},
		{"refuses, kindly", opened{asked: true, err: portmap.ErrRefused}.finding(behaviour{}),
			"the router opens no port when asked; direct paths work without"},
		{"no second port", checkMTU(t.Context(), nil, ""),
			"not measured: that takes UDP, and a relay with a second UDP port"},
		{"silence", checkMTU(canceled(t), []*udp{secondPortAt(netip.MustParseAddrPort("127.0.0.1:9"))}, "4"),
			"no packet of any size came back"},
		{"an old relay", checkMTU(t.Context(), []*udp{secondPortAt(oldSTUN(t))}, "4"),
			"not measured: the relay is too old for it"},
		{"large", judgeMTU(Finding{}, 1500),
			"packets of 1500 bytes get through both ways, and Peephole needs 1280"},
		{"small", judgeMTU(Finding{}, 1200),
			"packets larger than 1200 bytes are lost, and Peephole needs 1280: " +
				"set the MTU of the tunnel or VPN in between to 1280 or more"},
	} {
		l.check(t)
	}
}

// secondPortAt returns a relay whose second UDP port, at an address, has answered.
func secondPortAt(at netip.AddrPort) *udp {
	u := udpOf(true, at.String(), true)
	u.second, u.seconds["4"] = map[string]netip.AddrPort{"4": at}, nat.Binding{}
	return u
}

// oldSTUN starts a STUN server that does not pad its answers (RFC 5780, section 7.6).
func oldSTUN(t *testing.T) netip.AddrPort {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go func() {
		for b := make([]byte, 2000); ; {
			n, from, err := conn.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			request := &stun.Message{Raw: b[:n]}
			if request.Decode() != nil {
				continue
			}
			mapped := &stun.XORMappedAddress{IP: from.Addr().AsSlice(), Port: int(from.Port())}
			answer, err := stun.Build(stun.NewTransactionIDSetter(request.TransactionID), stun.BindingSuccess, mapped)
			if err == nil {
				_, _ = conn.WriteToUDPAddrPort(answer.Raw, from)
			}
		}
	}()

	return conn.LocalAddr().(*net.UDPAddr).AddrPort()
}

// Package http reads the proxy from the environment only once in a process, so this test runs itself in another one.
func TestLineOfTheProxy(t *testing.T) {
	const proxy = "HTTPS_PROXY=http://127.0.0.1:9"
	if os.Getenv("HTTPS_PROXY") != strings.TrimPrefix(proxy, "HTTPS_PROXY=") {
		again := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestLineOfTheProxy$")
		again.Env = append(os.Environ(), proxy, "NO_PROXY=")
		if out, err := again.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}

	turns := server{kind: "turns", tcp: true, host: "relay.example", port: 443}
	c := &contact{Relay: Relay{URL: "https://relay.example"}, servers: []server{turns}}
	line{"a proxy", c.checkTLS(t.Context()),
		"not tested: it would go through the proxy that the environment sets"}.check(t)
}
