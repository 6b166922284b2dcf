package e2e

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"net/url"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/stun/v3"

	"github.com/peephole-cam/peephole/signaling"
	"github.com/peephole-cam/peephole/test/natlab"
)

// turnPorts is a relay's TURN server at one address of this machine, and a session granted there.
type turnPorts struct {
	relay string // its URL
	host  string
	ports map[string]string // by transport: udp, tcp, tls, binding
	grant signaling.Grant
}

// startTURNPorts runs the relay command with TURN at an address, and asks it for a session.
func startTURNPorts(t *testing.T, host string) turnPorts {
	t.Helper()
	at := net.JoinHostPort(host, "0")
	p := start(t, "relay", "serve", "-loopback-unlimited", "-listen", "127.0.0.1:0", "-turn", at, "-turn-tls", at,
		"-tls-self-signed", "-state", t.TempDir())
	s := turnPorts{relay: p.line(t, "ready "), host: host, ports: make(map[string]string)}
	s = s.anew(t)
	for _, text := range s.grant.URLs {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		transport := u.Query().Get("transport")
		_, port, err := net.SplitHostPort(u.Opaque)
		if err != nil {
			t.Fatal(err)
		}

		switch {
		case u.Scheme == "stun":
			transport = "binding"
		case u.Scheme == "turns":
			transport = "tls"
		}
		s.ports[transport] = port
	}

	for _, transport := range []string{"udp", "tcp", "tls", "binding"} {
		if s.ports[transport] == "" {
			t.Fatalf("no %s in %v", transport, s.grant.URLs)
		}
	}

	return s
}

// anew returns the same server with a new session, which has no allocations yet.
func (s turnPorts) anew(t *testing.T) turnPorts {
	t.Helper()
	s.grant = askGrant(t, s.relay)
	return s
}

// askGrant asks a relay for TURN credentials, as a viewer does.
func askGrant(t *testing.T, relayURL string) signaling.Grant {
	t.Helper()
	client, err := signaling.NewClient(signaling.ClientConfig{
		URL: relayURL, TLS: &tls.Config{InsecureSkipVerify: true}, Logger: logger(t)})
	if err != nil {
		t.Fatal(err)
	}

	defer run(t, client.Run)()
	g, err := client.Grant(t.Context(), signaling.Mailbox{Read: ed25519Key(t), Write: ed25519Key(t)}, "")
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// turnutils runs one of coturn's programs, calls each with every line that it prints, and returns them all. Its exit
// code says nothing: it is the same when all packets were lost.
func turnutils(t *testing.T, each func(line string), program string, args ...string) string {
	t.Helper()
	need(t, program)
	// print each line at once
	cmd := exec.CommandContext(t.Context(), "stdbuf", append([]string{"-oL", program}, args...)...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}

	cmd.Stderr = cmd.Stdout
	if err := natlab.StartOutside(t.Cleanup, cmd); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	defer late.Stop()

	var said strings.Builder
	for lines := bufio.NewScanner(out); lines.Scan(); {
		said.WriteString(lines.Text() + "\n")
		each(lines.Text())
	}

	_ = cmd.Wait()
	return said.String()
}

var reflexive = regexp.MustCompile(`UDP reflexive addr: (\S+)`)

// coturn's STUN client learns its address from both UDP ports, over IPv4 and IPv6.
func TestCoturnStunclient(t *testing.T) {
	t.Parallel()
	need(t, "turnutils_stunclient")
	for _, host := range []string{"127.0.0.1", "::1"} {
		t.Run(host, func(t *testing.T) {
			t.Parallel()
			s := startTURNPorts(t, host)
			for _, port := range []string{"udp", "binding"} {
				out := turnutils(t, func(string) {}, "turnutils_stunclient", "-p", s.ports[port], host)
				m := reflexive.FindStringSubmatch(out)
				if m == nil || !strings.Contains(m[1], host) {
					t.Errorf("%s: %s", port, out)
				}
			}
		})
	}
}

// echoEnd is the viewer's end of a session, over UDP, which sends back what comes from the camera's.
type echoEnd struct {
	socket  *turnSocket
	viewer  signaling.Credentials
	relayed netip.AddrPort

	mu    sync.Mutex
	peers []netip.AddrPort // for which it requests permissions; guarded by mu
}

// echo makes the viewer's allocation, which serves until the test ends.
func (s turnPorts) echo(t *testing.T) *echoEnd {
	t.Helper()
	conn, err := net.Dial("udp", net.JoinHostPort(s.host, s.ports["udp"]))
	if err != nil {
		t.Fatal(err)
	}
	e := &echoEnd{socket: &turnSocket{t: t, conn: conn}, viewer: s.grant.Viewer}
	var own stun.XORMappedAddress
	if err := own.GetFromAs(e.socket.ask(stun.MethodAllocate, e.viewer, wantUDP),
		stun.AttrXORRelayedAddress); err != nil {
		t.Fatal(err)
	}

	ip, _ := netip.AddrFromSlice(own.IP.To4())
	e.relayed = netip.AddrPortFrom(ip, uint16(own.Port))
	done := make(chan struct{})
	go func() { defer close(done); e.serve() }()
	t.Cleanup(func() { conn.Close(); <-done })
	return e
}

var relayAddr = regexp.MustCompile(`Received relay addr: (\S+)`)

// hear learns the other end's addresses from a line that it prints.
func (e *echoEnd) hear(line string) {
	m := relayAddr.FindStringSubmatch(line)
	if m == nil {
		return
	}
	if peer, err := netip.ParseAddrPort(m[1]); err == nil {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.peers = append(e.peers, peer)
	}
}

// serve answers data with the same data, and keeps requesting permissions, until the socket is closed.
func (e *echoEnd) serve() {
	buf := make([]byte, 2048)
	for {
		e.mu.Lock()
		for _, peer := range e.peers {
			_, _ = e.socket.conn.Write(e.socket.request(stun.MethodCreatePermission, e.viewer, peerAddress(peer)).Raw)
		}
		e.mu.Unlock()
		for again := time.Now().Add(50 * time.Millisecond); time.Now().Before(again); {
			_ = e.socket.conn.SetReadDeadline(again)
			n, err := e.socket.conn.Read(buf)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil {
				e.sendBack(buf[:n])
			}
		}
	}
}

// sendBack answers a Data indication.
func (e *echoEnd) sendBack(p []byte) {
	in := &stun.Message{Raw: p}
	if in.Decode() != nil || in.Type != stun.NewType(stun.MethodData, stun.ClassIndication) {
		return
	}
	from, _ := in.Get(stun.AttrXORPeerAddress)
	data, _ := in.Get(stun.AttrData)

	// The address is XORed with the cookie only, since it is IPv4, so it may go back as it came.
	out, err := stun.Build(stun.TransactionID, stun.NewType(stun.MethodSend, stun.ClassIndication),
		stun.RawAttribute{Type: stun.AttrXORPeerAddress, Value: from},
		stun.RawAttribute{Type: stun.AttrData, Value: data})
	if err == nil {
		_, _ = e.socket.conn.Write(out.Raw)
	}
}

// peerAddress returns XOR-PEER-ADDRESS of an IPv4 address.
func peerAddress(a netip.AddrPort) stun.Setter {
	v := binary.BigEndian.AppendUint16([]byte{0, 1}, a.Port()^0x2112)
	ip := a.Addr().As4()
	return stun.RawAttribute{Type: stun.AttrXORPeerAddress,
		Value: binary.BigEndian.AppendUint32(v, binary.BigEndian.Uint32(ip[:])^0x2112a442)}
}

// uclient runs coturn's TURN client as the camera.
func (s turnPorts) uclient(t *testing.T, each func(line string), transport string, args ...string) string {
	t.Helper()
	return turnutils(t, each, "turnutils_uclient",
		append(args, "-v", "-p", s.ports[transport], "-u", s.grant.Camera.Username, "-w", s.grant.Camera.Credential,
			s.host)...)
}

// untilOdd runs coturn's TURN client until it gets anywhere: at random it asks for an even port, which the relay never
// grants, and then gives up.
func untilOdd(t *testing.T, client func() (said string)) string {
	t.Helper()
	for range 40 {
		out := client()
		if !strings.Contains(out, "error 508") || strings.Contains(out, "error 403") ||
			strings.Contains(out, "Total transmit time") {
			return out
		}
	}

	t.Fatal("40 times in a row an even port was asked for")
	return ""
}

// exchanges runs coturn's TURN client until it has sent a number of messages and got as many back. That client ends its
// allocation by its own clock, and what is under way then is lost; on a busy machine that may be much. So a failure
// here does not say who lost what. Clients that wait show that the relay loses nothing: TestOrder, TestStreamOrder and
// TestManyStreams in package turn, which run once.
func exchanges(t *testing.T, messages string, client func() (said string)) {
	t.Helper()
	out := ""
	for range 10 {
		out = untilOdd(t, client)
		if m := uclientTotals.FindStringSubmatch(out); m != nil && m[1] == messages && m[2] == messages {
			return
		}
	}
	t.Errorf("want %s messages sent and as many received: %s", messages, out)
}

var uclientTotals = regexp.MustCompile(`(?s).*tot_send_msgs=(\d+), tot_recv_msgs=(\d+)`)

// Over each transport and both families, coturn's TURN client exchanges packets with the other end of its session, and
// refreshes and ends its allocation. The other end is ours: coturn's client uses one username for both of its ends, and
// here each has its own.
func TestCoturnUclient(t *testing.T) {
	t.Parallel()
	need(t, "turnutils_uclient")
	for _, host := range []string{"127.0.0.1", "::1"} {
		for _, tt := range []struct {
			transport string
			args      []string
		}{
			{"udp", nil},
			{"tcp", []string{"-t"}},
			{"tls", []string{"-t", "-S"}},
		} {
			t.Run(tt.transport+" "+host, func(t *testing.T) {
				t.Parallel()
				s := startTURNPorts(t, host)
				exchanges(t, "20", func() string {
					s := s.anew(t)
					peer := s.echo(t)
					return s.uclient(t, peer.hear, tt.transport, append(tt.args, "-s", "-c", "-n", "20", "-l", "400",
						"-e", peer.relayed.Addr().String(), "-r", strconv.Itoa(int(peer.relayed.Port())))...)
				})
			})
		}
	}
}

// With one role, and so one username, for both ends, coturn's client does not get from one of its allocations to the
// other.
func TestCoturnUclientOfOneRole(t *testing.T) {
	t.Parallel()
	need(t, "turnutils_uclient")
	s := startTURNPorts(t, "127.0.0.1")
	for what, args := range map[string][]string{"channel bind: error 403": {"-y", "-c"},
		"create permission error 403": {"-y", "-c", "-s"}} {
		out := untilOdd(t, func() string { return s.anew(t).uclient(t, func(string) {}, "udp", args...) })
		if !strings.Contains(out, what) {
			t.Errorf("want %q: %s", what, out)
		}
	}
}

// Both ends are coturn's, by ChannelData and by indications, over IPv4 and IPv6, once each has a username of its own.
func TestCoturnUclientToItself(t *testing.T) {
	t.Parallel()
	need(t, "turnutils_uclient")
	for _, host := range []string{"127.0.0.1", "::1"} {
		for by, args := range map[string][]string{"channels": nil, "indications": {"-s"}} {
			t.Run(by+" "+host, func(t *testing.T) {
				t.Parallel()
				s := startTURNPorts(t, host)
				exchanges(t, "40", func() string {
					at := s.anew(t)
					port := startTURNSigner(t, at)
					at.ports = map[string]string{"udp": port}
					return at.uclient(t, func(string) {}, "udp", append(args, "-y", "-c", "-n", "20", "-l", "400")...)
				})
			})
		}
	}
}
