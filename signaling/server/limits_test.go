package server

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/peephole-cam/peephole/signaling"
	"github.com/peephole-cam/peephole/signaling/bus"
	"github.com/peephole-cam/peephole/test/bubble"
)

func newServer(t testing.TB, cfg Config) *Server {
	t.Helper()
	cfg.PublicURL, cfg.Bus, cfg.Logger = "https://relay.example", bus.NewLocal(), quiet
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// visit returns a connection from an address, without a socket.
func (s *Server) visit(t testing.TB, addr string) *conn {
	t.Helper()
	lease, status := s.addConn(s.accountOf(netip.MustParseAddr(addr)), connCost)
	if status != http.StatusOK {
		t.Fatalf("from %s: status %d", addr, status)
	}
	c := newConn(s, nil, s.accountOf(netip.MustParseAddr(addr)), lease)
	c.cancel = func() {}
	return c
}

// opens opens a mailbox on a connection, without its keys. who admits it; nil means nobody.
func (c *conn) opens(name signaling.Name, access signaling.Access, who *account) *signaling.Error {
	if c.boxes[name] == nil && c.mailboxes.Grow(openedCost) != nil {
		return errQuota
	}
	o := new(opened)
	if err := c.openInStore(name, o, opening{first: true, who: who}, access, begin); err != nil {
		c.mailboxes.Shrink(openedCost)
		return err
	}
	o.write, c.boxes[name] = true, o
	return nil
}

// serveOne serves one client from an address over a pipe.
func serveOne(t *testing.T, s *Server, from string) (client *websocket.Conn, stop func()) {
	t.Helper()
	ours, theirs := net.Pipe()
	l := &one{make(chan net.Conn, 1), make(chan struct{})}
	l.conn <- theirs
	hs := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.RemoteAddr = net.JoinHostPort(from, "4711")
		s.ServeHTTP(w, r)
	})}
	var serving sync.WaitGroup
	serving.Go(func() { _ = hs.Serve(l) })

	transport := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		return ours, nil
	}}
	client, _, err := websocket.Dial(t.Context(), "ws://relay.example"+signaling.Path, &websocket.DialOptions{
		HTTPClient:   &http.Client{Transport: transport},
		Subprotocols: []string{signaling.Subprotocol},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := client.Read(t.Context()); err != nil { // the challenge
		t.Fatal(err)
	}

	return client, func() {
		client.CloseNow()
		_ = hs.Close()
		serving.Wait()
		s.conns.Wait()
	}
}

func TestMailboxesOfAConnectionAreLimited(t *testing.T) {
	s := newServer(t, Config{LoopbackUnlimited: true})
	c := s.visit(t, "127.0.0.1")
	for i := range 4095 {
		c.boxes[nameOf(1, i)] = new(opened)
	}

	open := func() *signaling.Error {
		mb := newMailbox()
		f := signaling.SignOpen(s.cfg.PublicURL, c.nonce, mb, signaling.Read)
		return c.openMailbox(t.Context(), mb.Name(), f, begin)
	}

	if err := open(); err != nil {
		t.Errorf("the last mailbox: %v", err)
	}
	if err := open(); err != errQuota {
		t.Errorf("one more: %v", err)
	}
}

// TestMailboxesOfAnAddressAreLimited: an address opens a limited number of mailboxes, on however many connections.
// Others are not disturbed.
func TestMailboxesOfAnAddressAreLimited(t *testing.T) {
	s := newServer(t, Config{Memory: 64 << 20})
	opened := 0
	for refused := false; !refused; {
		c := s.visit(t, "2001:db8::1")
		for range 100 {
			if refused = c.opens(nameOf(1, opened), signaling.Write, c.account) != nil; refused {
				break
			}
			opened++
		}
	}

	if opened < 300 || opened > 700 {
		t.Errorf("%d mailboxes from one /64, want some 500", opened)
	}
	for i, other := range []string{"2001:db8:0:1::1", "192.0.2.1"} {
		c := s.visit(t, other)
		for j := range 50 {
			if err := c.opens(nameOf(byte(2+i), j), signaling.Read, c.account); err != nil {
				t.Fatalf("mailbox %d of %s: %v", j, other, err)
			}
		}
	}
}

// TestFramesOfAConnectionAreLimited measures by the bubble's clock how long a connection's frames take.
func TestFramesOfAConnectionAreLimited(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		const frames = 8192 + 10*500
		s := newServer(t, Config{LoopbackUnlimited: true})
		ours, stop := serveOne(t, s, "127.0.0.1")
		defer stop()
		begun := time.Now()
		for range frames {
			ack := signaling.Append(nil, signaling.Ack{})
			if err := ours.Write(t.Context(), websocket.MessageBinary, ack); err != nil {
				t.Fatal(err)
			}
		}

		synctest.Wait()
		if took := time.Since(begun); took < 9*time.Second || took > 11*time.Second {
			t.Errorf("%d frames took %v, want some 10 s", frames, took)
		}
	})
}

// TestFewBadSignaturesEndAConnection: a client that knows the relay by its right URL makes no bad signatures.
func TestFewBadSignaturesEndAConnection(t *testing.T) {
	e := start(t, Config{})
	w := e.wire(t)
	for range 7 {
		forged := signaling.SignOpen("https://another.example", w.nonce, newMailbox(), signaling.Read)
		forged.ID = 1
		want(t, "a forged open", w.ask(forged), signaling.CodeSignature)
	}

	want(t, "a good open", w.open(newMailbox(), signaling.Read), 0)
	w.send(signaling.SignOpen("https://another.example", w.nonce, newMailbox(), signaling.Read))
	for _, text := range []string{ // the answer to the open, and the one that ends the connection
		"signature does not verify: is this relay known by another URL?",
		"too many signatures do not verify: is this relay known by another URL?",
	} {
		if f, ok := w.read().(signaling.Refused); !ok || f.ID != 0 || f.Code != signaling.CodeSignature ||
			f.Text != text {
			t.Errorf("got %+v, want %q", f, text)
		}
	}

	if !w.ended() {
		t.Error("the connection went on")
	}
	if n := e.Stats.EndedForSignatures.Load(); n != 1 {
		t.Errorf("%d connections were counted as ended, want 1", n)
	}
}

// TestForgedOpensWaitForTheirAddressesTime: an address forges Opens as fast as it can on many connections. It gets only
// a small share of processor time, and another address does not wait.
func TestForgedOpensWaitForTheirAddressesTime(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := newServer(t, Config{})
		ctx, cancel := context.WithCancel(t.Context())
		var forging sync.WaitGroup
		var checked atomic.Int64
		for i := range 200 {
			from := fmt.Sprintf("2001:db8:0:%x::1", i)
			forging.Go(func() {
				for ctx.Err() == nil { // each time on a new connection, because eight forged opens end one
					lease, status := s.addConn(s.accountOf(netip.MustParseAddr(from)), connCost)
					if status != http.StatusOK {
						pause(ctx, time.Second)
						continue
					}
					c := newConn(s, nil, s.accountOf(netip.MustParseAddr(from)), lease)
					c.cancel = func() {}
					forged := signaling.SignOpen("https://another.example", c.nonce, fuzzMailbox(1), signaling.Read)
					for c.handleFrame(ctx, signaling.Append(nil, forged)) {
						checked.Add(1)
					}
					c.releaseLeases()
				}
			})
		}

		const seconds = 20
		time.Sleep(seconds * time.Second) // of the bubble's clock
		before := s.Stats.Delayed.Load()
		honest := s.visit(t, "2001:db8:1::1")
		for i := range 100 {
			open := signaling.SignOpen(s.cfg.PublicURL, honest.nonce, fuzzMailbox(byte(i)), signaling.Read)
			if !honest.handleFrame(t.Context(), signaling.Append(nil, open)) {
				t.Fatal("the honest client's connection ended")
			}
		}

		if delayed := s.Stats.Delayed.Load() - before; delayed != 0 {
			t.Errorf("the honest client waited %d times", delayed)
		}
		cancel()
		forging.Wait()

		processor := 1e6 * float64(seconds) * float64(runtime.GOMAXPROCS(0))
		if used := float64(checked.Load() * (openWork + badSignatureWork)); used > processor/4 {
			t.Errorf("%d forged opens in %d s: %.0f %% of the processors", checked.Load(), seconds, 100*used/processor)
		}
		if checked.Load() < 100 {
			t.Errorf("only %d forged opens, so the test proves nothing", checked.Load())
		}
	})
}

// TestHonestClientOpensManyMailboxesAtOnce: a camera that reconnects does not have to wait.
func TestHonestClientOpensManyMailboxesAtOnce(t *testing.T) {
	s := newServer(t, Config{})
	c := s.visit(t, "2001:db8::1")
	for i := range 1000 {
		open := signaling.SignOpen(s.cfg.PublicURL, c.nonce, fuzzMailbox(byte(i)), signaling.Read)
		if !c.handleFrame(t.Context(), signaling.Append(nil, open)) {
			t.Fatal("the connection ended")
		}
	}

	if n := s.Stats.Delayed.Load(); n != 0 {
		t.Errorf("the client waited %d times", n)
	}
}

// TestDialingAgainAndAgainIsLimited: a connection costs processor time even if it ends at once.
func TestDialingAgainAndAgainIsLimited(t *testing.T) {
	bubble.Test(t, func(t *testing.T) { // in which no time passes
		s, entered := newServer(t, Config{}), 0
		for ; entered < 100_000; entered++ {
			lease, status := s.addConn(s.accountOf(netip.MustParseAddr("2001:db8::1")), connCost)
			if status != http.StatusOK {
				break
			}
			s.removeConn(lease)
		}

		if most := 1000 * runtime.GOMAXPROCS(0); entered < 100 || entered > most {
			t.Errorf("%d connections at once from one /64, want %d at most", entered, most)
		}
		s.visit(t, "2001:db8:0:1::1")

		time.Sleep(time.Minute)
		s.visit(t, "2001:db8::1")
	})
}

// TestHalfAFrameIsPaidFor: the sender pays for a frame that has arrived only in part, and the frame is not kept for
// long.
func TestHalfAFrameIsPaidFor(t *testing.T) {
	e := start(t, Config{Memory: 32 << 20})
	half := func(from string) *wire {
		w := e.wireFrom(t, from)
		out, err := w.ws.Writer(t.Context(), websocket.MessageBinary)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := out.Write(make([]byte, 3*smallFrame)); err != nil {
			t.Fatal(err)
		}
		return w
	}

	var stalled []*wire
	for n := range 6 {
		w := half("2001:db8::1")
		stalled = append(stalled, w)
		if n == 0 {
			until(t, "what arrives is paid for", func() bool {
				return e.addresses.buffers.Used() == signaling.MaxFrame
			})
		}
	}

	until(t, "one too many is refused", func() bool { return e.Stats.RefusedBuffers.Load() > 0 })
	if f, ok := stalled[len(stalled)-1].read().(signaling.Refused); !ok ||
		f.Text != "the relay is busy: try again later" {
		t.Errorf("the refused connection gets %+v", f)
	}

	if used, most := e.addresses.buffers.Used(), int64(3*signaling.MaxFrame); used > most {
		t.Errorf("%d bytes are held for one /64", used)
	}

	mb, other := newMailbox(), e.wireFrom(t, "192.0.2.1")
	want(t, "another address opens", other.open(mb, signaling.Write), 0)
	want(t, "and posts", other.post(mb, signaling.MaxBody, 60), 0)
	for _, w := range stalled {
		w.ws.CloseNow()
	}
	until(t, "all of it is given back", func() bool { return e.addresses.buffers.Used() == 0 })
}

// TestEverythingIsGivenBack: whatever clients did, nothing stays charged after they have left and their messages have
// expired.
func TestEverythingIsGivenBack(t *testing.T) {
	e, issue := operator(t)
	camera, viewer := e.wireFrom(t, "192.0.2.1"), e.wireFrom(t, "2001:db8::1")
	for i := range 5 {
		mb, pairing := newMailbox(), with(newMailbox(), []byte(signaling.PairingTicket))
		want(t, "open", camera.open(with(mb, issue(byte(i), 9)), signaling.Read), 0)
		want(t, "open", viewer.open(mb, signaling.Write), 0)
		want(t, "post", viewer.post(mb, signaling.MaxBody, uint32(60+3600*(i%2))), 0)
		want(t, "open", viewer.open(pairing, signaling.Write), 0)
		want(t, "post", viewer.post(pairing, 100, 60), 0)
		want(t, "grant", viewer.grant(mb), 0)
	}

	if e.tickets.class.brief.Used() == 0 || e.tickets.class.lasting.Used() == 0 || e.addresses.pairings.Used() == 0 {
		t.Error("nothing is charged, so the test proves nothing")
	}

	camera.ws.CloseNow()
	viewer.ws.CloseNow()
	until(t, "both are gone", func() bool { return e.Stats.Connections.Load() == 0 })
	for _, after := range []time.Duration{2 * time.Hour, 50 * time.Hour} {
		e.store.sweep(time.Now().Add(after))
		e.tickets.sweep(time.Now().Add(after))
	}

	for name, class := range map[string]*class{"addresses": e.addresses, "tickets": e.tickets.class} {
		left := []int64{
			class.connections.Used(),
			class.mailboxes.Used(),
			class.buffers.Used(),
			class.brief.Used(),
			class.lasting.Used(),
			class.pairings.Used(),
		}
		if fmt.Sprint(left) != "[0 0 0 0 0 0]" {
			t.Errorf("%s: %v bytes are left", name, left)
		}
	}

	if n, m := e.Stats.StoredBytes.Load(), e.Stats.Mailboxes.Load(); n != 0 || m != 0 {
		t.Errorf("%d bytes and %d mailboxes are left", n, m)
	}
}

// TestLoopbackIsLimitedUnlessTheOperatorSaysElse: behind a proxy on this machine, anybody may have a loopback address.
func TestLoopbackIsLimitedUnlessTheOperatorSaysElse(t *testing.T) {
	for _, free := range []bool{false, true} {
		s := newServer(t, Config{Memory: 16 << 20, LoopbackUnlimited: free})
		entered := 0
		for ; entered < 1000; entered++ {
			own := s.accountOf(netip.MustParseAddr("127.0.0.1"))
			if _, status := s.addConn(own, connCost); status != http.StatusOK {
				break
			}
		}

		if (entered == 1000) != free {
			t.Errorf("unlimited %v: %d connections", free, entered)
		}
		own := s.accountOf(netip.MustParseAddr("::1"))
		if _, status := s.addConn(own, connCost); (status == http.StatusOK) != free && free {
			t.Errorf("unlimited %v: ::1 gets status %d", free, status)
		}

		if name := s.accountOf(netip.MustParseAddr("127.0.0.1")).turnName(s); (name == "") != free {
			t.Errorf("unlimited %v: sessions are charged to %q", free, name)
		}
	}
}
