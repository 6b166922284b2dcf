package server

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os/exec"
	"runtime"
	"sync"
	"testing"

	"github.com/coder/websocket"

	"github.com/peephole-cam/peephole/signaling"
	"github.com/peephole-cam/peephole/signaling/bus"
	"github.com/peephole-cam/peephole/test/natlab"
)

// town is a relay in a network namespace in which a client may have any address of two prefixes.
type town struct {
	*Server
	t    testing.TB
	host *natlab.Host
	city
}

// city tells where a relay can be reached, from inside its namespace or from outside.
type city struct {
	url     string
	at      map[int]string // where it listens, by IP version: 4 or 6
	connect func(d net.Dialer, network, address string) (net.Conn, error)
}

func newTown(t testing.TB, cfg Config) *town {
	t.Helper()
	natlab.Need(t)
	host := natlab.New(t).Public("relay")
	w := &town{t: t, host: host, city: city{url: "http://relay.lab:7880", at: make(map[int]string), connect: host.Dial}}
	const routes = "ip -4 route add local 198.18.0.0/15 dev lo && ip -6 route add local 2001:db8:8000::/33 dev lo && " +
		"echo 1 >/proc/sys/net/ipv6/ip_nonlocal_bind"
	cmd := exec.Command("sh", "-c", routes)
	if err := w.host.Start(cmd); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("make routes: %v", err)
	}

	cfg.PublicURL, cfg.Bus, cfg.Logger = w.url, bus.NewLocal(), slog.New(slog.DiscardHandler)
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	w.Server = s
	w.serve()
	return w
}

func (w *town) serve() {
	hs := &http.Server{Handler: w.Server, ReadHeaderTimeout: patience}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = w.Run(ctx) })
	for family, address := range map[int]string{4: "198.18.0.1:0", 6: "[2001:db8:8000::1]:0"} {
		l, err := w.host.Listen("tcp", address)
		if err != nil {
			w.t.Fatal(err)
		}
		w.at[family] = l.Addr().String()
		running.Go(func() { _ = hs.Serve(l) })
	}

	for w.Serving() != nil {
		runtime.Gosched()
	}
	w.t.Cleanup(func() {
		cancel()
		_ = hs.Close()
		running.Wait()
	})
}

// citizen is a connection from one address.
type citizen struct {
	ws    *websocket.Conn
	nonce [32]byte
	stop  func()
}

// dial connects from an address if the relay allows that.
func (w *city) dial(ctx context.Context, from netip.Addr) (*citizen, error) {
	family := 6
	if from.Is4() {
		family = 4
	}
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		dialer := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0)), Timeout: patience}
		return w.connect(dialer, "tcp", w.at[family])
	}}
	ws, _, err := websocket.Dial(ctx, "ws://relay.lab"+signaling.Path, &websocket.DialOptions{
		HTTPClient:   &http.Client{Transport: transport},
		Subprotocols: []string{signaling.Subprotocol},
	})
	if err != nil {
		return nil, err
	}

	ws.SetReadLimit(signaling.MaxFrame)
	c := &citizen{ws: ws, stop: func() { ws.CloseNow(); transport.CloseIdleConnections() }}
	f, err := c.read(ctx)
	if err != nil {
		c.stop()
		return nil, err
	}
	c.nonce = f.(signaling.Challenge).Nonce
	return c, nil
}

func (c *citizen) read(ctx context.Context) (signaling.Frame, error) {
	_, b, err := c.ws.Read(ctx)
	if err != nil {
		return nil, err
	}
	return signaling.Parse(b)
}

func (c *citizen) send(ctx context.Context, f signaling.Frame) error {
	return c.ws.Write(ctx, websocket.MessageBinary, signaling.Append(nil, f))
}

// ask sends a request, and returns an error unless the answer is OK. It ignores deliveries meanwhile.
func (c *citizen) ask(ctx context.Context, f signaling.Frame) error {
	if err := c.send(ctx, f); err != nil {
		return err
	}
	for {
		answer, err := c.read(ctx)
		switch answer := answer.(type) {
		case signaling.OK:
			return nil
		case signaling.Refused:
			return &signaling.Error{Code: answer.Code, Text: answer.Text}
		}

		if err != nil {
			return err
		}
	}
}

func (c *citizen) open(ctx context.Context, w *city, mb signaling.Mailbox, access signaling.Access) error {
	return c.ask(ctx, signaling.SignOpen(w.url, c.nonce, mb, access))
}

// home is a camera, a viewer, and the mailboxes between them.
type home struct {
	camera, viewer   *citizen
	offers, answers  signaling.Mailbox
	offered, replied []byte
}

// settle opens the mailboxes of a camera and a viewer.
func (w *town) settle(ctx context.Context, camera, viewer netip.Addr, ticket []byte) (*home, error) {
	h := &home{
		offers:  newMailbox(),
		answers: newMailbox(),
		offered: make([]byte, offerSize),
		replied: make([]byte, offerSize),
	}

	var err error
	if h.camera, err = w.dial(ctx, camera); err != nil {
		return nil, fmt.Errorf("dial from camera: %w", err)
	}
	if h.viewer, err = w.dial(ctx, viewer); err != nil {
		return nil, fmt.Errorf("dial from viewer: %w", err)
	}

	for _, step := range []struct {
		who    *citizen
		mb     signaling.Mailbox
		access signaling.Access
	}{
		{h.camera, with(h.offers, ticket), signaling.Read},
		{h.camera, with(h.answers, ticket), signaling.Write},
		{h.viewer, h.offers, signaling.Write},
		{h.viewer, h.answers, signaling.Read},
	} {
		if err := step.who.open(ctx, &w.city, step.mb, step.access); err != nil {
			return nil, fmt.Errorf("open mailbox: %w", err)
		}
	}

	return h, nil
}

func (h *home) stop() {
	h.camera.stop()
	h.viewer.stop()
}

// session exchanges an offer and its answer, each posted, delivered and acknowledged.
func (h *home) session(ctx context.Context) error {
	for _, way := range []struct {
		from, to *citizen
		mb       signaling.Mailbox
		body     []byte
	}{{h.viewer, h.camera, h.offers, h.offered}, {h.camera, h.viewer, h.answers, h.replied}} {
		if err := way.from.ask(ctx, signaling.Post{ID: 1, Name: way.mb.Name(), TTL: 30, Body: way.body}); err != nil {
			return fmt.Errorf("post: %w", err)
		}
		f, err := way.to.read(ctx)
		if err != nil {
			return err
		}

		m, ok := f.(signaling.Deliver)
		if !ok || m.Name != way.mb.Name() || len(m.Body) != len(way.body) {
			return fmt.Errorf("got %T instead of the message", f)
		}
		if err := way.to.send(ctx, signaling.Ack{Name: m.Name, Seq: m.Seq}); err != nil {
			return err
		}
	}
	return nil
}
