package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/pion/stun/v3"

	"github.com/peephole-cam/peephole/signaling"
)

// household uses the relay as intended.
type household struct {
	relay   string
	metrics string
	trust   *tls.Config
	turn    string // HOST:PORT, over UDP and TCP
	shared  string // the same over TLS

	standing *mail   // opened before the first round
	pairs    []*ends // sessions over TURN, opened before the first round
	ctx      context.Context
}

// householdMain is a program with the arguments RELAY CERTIFICATE METRICS. It connects and prints "ready". For each
// line that it reads, it does every task of a household once, and prints how long each took. If anything is lost, it
// ends with an error.
func householdMain() {
	if err := runHousehold(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func runHousehold(relay, certificate, metrics string) error {
	trust, err := signaling.TrustFile(certificate)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()

	host := strings.TrimPrefix(relay, "https://")
	h := &household{
		relay:   relay,
		metrics: metrics,
		trust:   trust,
		turn:    host + ":3478",
		shared:  host + ":443",
		ctx:     ctx,
	}

	if h.standing, err = h.openMail(); err != nil {
		return err
	}
	for _, over := range []string{"udp", "tcp", "tls"} {
		pair, err := h.openEnds(over)
		if err != nil {
			return fmt.Errorf("relay over %s: %w", over, err)
		}
		h.pairs = append(h.pairs, pair)
	}

	fmt.Println("ready")
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		took, err := h.round()
		if err != nil {
			return err
		}
		text, err := json.Marshal(took)
		if err != nil {
			return err
		}
		fmt.Printf("round %s\n", text)
	}

	return nil
}

// round does each task once.
func (h *household) round() (map[string]time.Duration, error) {
	took := make(map[string]time.Duration)
	for what, do := range map[string]func() error{
		"page":            h.page,
		"metrics":         h.watch,
		"message":         func() error { return h.standing.exchange(h.ctx) },
		"new mailbox":     h.newMail,
		"relayed by UDP":  h.pairs[0].exchange,
		"relayed by TCP":  h.pairs[1].exchange,
		"relayed by TLS":  h.pairs[2].exchange,
		"new way by UDP":  func() error { return h.newEnds("udp") },
		"new way by TCP":  func() error { return h.newEnds("tcp") },
		"new way by TLS":  func() error { return h.newEnds("tls") },
		"outside address": h.outside,
	} {
		began := time.Now()
		if err := do(); err != nil {
			return nil, fmt.Errorf("%s: %w", what, err)
		}
		took[what] = time.Since(began)
	}

	return took, nil
}

// page loads the page over a new connection.
func (h *household) page() error { return h.get(h.relay+"/", "<!doctype html>") }

// watch checks the relay's health, as its operator does.
func (h *household) watch() error { return h.get("http://"+h.metrics+"/healthz", "ok") }

func (h *household) get(url, want string) error {
	transport := &http.Transport{TLSClientConfig: h.trust, DisableKeepAlives: true}
	client := http.Client{Timeout: patience, Transport: transport}
	r, err := client.Get(url)
	if err != nil {
		return err
	}
	defer r.Body.Close()

	body, err := io.ReadAll(r.Body)
	if err != nil || !bytes.HasPrefix(body, []byte(want)) {
		return fmt.Errorf("%d, %q: %w", r.StatusCode, body[:min(len(body), 40)], err)
	}
	return nil
}

// mail is a mailbox with its own connection.
type mail struct {
	client *signaling.Client
	box    signaling.Mailbox
	came   chan []byte
	stop   context.CancelFunc
	lost   chan error // gets the reason each time the connection is lost
}

func (h *household) openMail() (*mail, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	m := &mail{box: signaling.Mailbox{Read: key, Write: key}, came: make(chan []byte, 1), lost: make(chan error, 100)}
	m.client, err = signaling.NewClient(signaling.ClientConfig{URL: h.relay, TLS: h.trust, OnState: func(err error) {
		if err != nil {
			m.lost <- err
		}
	}})
	if err != nil {
		return nil, err
	}

	ctx, stop := context.WithCancel(h.ctx)
	m.stop = stop
	go m.client.Run(ctx)
	m.client.Receive(m.box, func(d signaling.Delivery) bool { m.came <- d.Body; return true })

	return m, m.exchange(ctx)
}

// exchange sends a message and waits for its arrival.
func (m *mail) exchange(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	body := []byte(rand.Text())
	if err := m.client.Send(ctx, m.box, body, time.Minute); err != nil {
		return err
	}

	for {
		select {
		case got := <-m.came:
			if bytes.Equal(got, body) {
				return nil
			}
		case err := <-m.lost:
			return fmt.Errorf("connection lost: %w", err)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (h *household) newMail() error {
	m, err := h.openMail()
	if err == nil {
		m.stop()
	}
	return err
}

// ends holds both ends of a session over TURN.
type ends struct{ camera, viewer *turnEnd }

func (h *household) openEnds(over string) (*ends, error) {
	ctx, cancel := context.WithTimeout(h.ctx, patience)
	defer cancel()
	grant, err := h.standing.client.Grant(ctx, h.standing.box, "")
	if err != nil {
		return nil, fmt.Errorf("grant: %w", err)
	}

	var both [2]*turnEnd
	for i, cred := range []signaling.Credentials{grant.Camera, grant.Viewer} {
		if both[i], err = h.allocate(over, cred); err != nil {
			return nil, err
		}
	}

	for i, end := range both {
		if err := end.bind(both[1-i].relayed); err != nil {
			return nil, err
		}
	}

	return &ends{both[0], both[1]}, nil
}

func (h *household) newEnds(over string) error {
	e, err := h.openEnds(over)
	if err != nil {
		return err
	}
	defer e.camera.conn.Close()
	defer e.viewer.conn.Close()

	if err := e.exchange(); err != nil {
		return err
	}
	ended := stun.RawAttribute{Type: stun.AttrLifetime, Value: make([]byte, 4)}
	for _, end := range []*turnEnd{e.camera, e.viewer} {
		if _, err := end.ask(stun.MethodRefresh, ended); err != nil {
			return err
		}
	}

	return nil
}

func (h *household) dial(over string) (c net.Conn, err error) {
	if over == "tls" {
		return tls.DialWithDialer(&net.Dialer{Timeout: patience}, "tcp", h.shared, h.trust)
	}
	return net.DialTimeout(over, h.turn, patience)
}

func (h *household) allocate(over string, cred signaling.Credentials) (*turnEnd, error) {
	c, err := h.dial(over)
	if err != nil {
		return nil, err
	}
	e := &turnEnd{conn: c, in: bufio.NewReader(c), cred: cred}
	wantUDP := stun.RawAttribute{Type: stun.AttrRequestedTransport, Value: []byte{17, 0, 0, 0}}
	first := stun.NewType(stun.MethodAllocate, stun.ClassRequest)
	challenge, err := e.do(stun.MustBuild(stun.TransactionID, first, wantUDP))
	if err != nil {
		return nil, err
	}
	if err := e.nonce.GetFrom(challenge); err != nil {
		return nil, fmt.Errorf("challenge: %w", err)
	}

	m, err := e.ask(stun.MethodAllocate, wantUDP)
	if err != nil {
		return nil, err
	}
	return e, e.relayed.GetFromAs(m, stun.AttrXORRelayedAddress)
}

// exchange sends packets in both directions, one after the other.
func (e *ends) exchange() error {
	for i := range 20 {
		for _, way := range [][2]*turnEnd{{e.camera, e.viewer}, {e.viewer, e.camera}} {
			p := binary.BigEndian.AppendUint16([]byte{channel >> 8, 0}, 1000)
			p = append(p, bytes.Repeat([]byte{byte(i)}, 1000)...)
			if err := pass(way[0], way[1], p); err != nil {
				return fmt.Errorf("packet %d: %w", i, err)
			}
		}
	}
	return nil
}

// outside asks a STUN server for the household's own address.
func (h *household) outside() error {
	c, err := net.Dial("udp", h.turn)
	if err != nil {
		return err
	}
	defer c.Close()

	m, err := (&turnEnd{conn: c}).do(stun.MustBuild(stun.TransactionID, stun.BindingRequest))
	if err != nil {
		return err
	}
	var at stun.XORMappedAddress
	if err := at.GetFrom(m); err != nil {
		return err
	}
	if ip, _ := netip.AddrFromSlice(at.IP); ip.Unmap() != c.LocalAddr().(*net.UDPAddr).AddrPort().Addr() {
		return fmt.Errorf("the relay says %v", at)
	}
	return nil
}
