package signalingproxy_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/coder/websocket"

	"github.com/peephole-cam/peephole/signaling"
	"github.com/peephole-cam/peephole/test/signalingproxy"
	"github.com/peephole-cam/peephole/test/signalingtest"
)

// turning forwards everything except acks, which it sends back to the client as OKs.
type turning struct{ opened, closed chan struct{} }

func newTurning() turning { return turning{make(chan struct{}, 1), make(chan struct{}, 1)} }

func (h turning) Opened(*signalingproxy.Conn) { h.opened <- struct{}{} }
func (h turning) Closed(*signalingproxy.Conn) { h.closed <- struct{}{} }

func (h turning) FromClient(c *signalingproxy.Conn, message []byte) {
	if f, err := signaling.Parse(message); err == nil {
		if ack, ok := f.(signaling.Ack); ok {
			c.ToClient(signaling.Append(nil, signaling.OK{ID: uint32(ack.Seq)}))
			return
		}
	}
	c.ToRelay(message)
}

func (h turning) FromRelay(c *signalingproxy.Conn, message []byte) { c.ToClient(message) }

// Messages of either side are forwarded as they are, or as the handler wants. When one half ends, so does the other.
func TestMessagesAreForwardedOrReplaced(t *testing.T) {
	heard := make(chan signaling.Frame, 4)
	relayEnded := make(chan struct{})
	relayURL := signalingtest.Serve(t, func(c signalingtest.Conn) {
		defer close(relayEnded)
		c.Say(signaling.Challenge{Time: 7})
		for {
			f, err := c.Read()
			if err != nil {
				return
			}
			heard <- f
		}
	})

	h := newTurning()
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		signalingproxy.Serve(w, r, relayURL, h)
	}))
	defer front.Close()

	client, _, err := websocket.Dial(t.Context(), "ws"+front.URL[len("http"):]+signaling.Path,
		&websocket.DialOptions{Subprotocols: []string{signaling.Subprotocol}})
	if err != nil {
		t.Fatal(err)
	}
	defer client.CloseNow()

	read := func() []byte {
		_, b, err := client.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return b
	}

	write := func(f signaling.Frame) {
		if err := client.Write(t.Context(), websocket.MessageBinary, signaling.Append(nil, f)); err != nil {
			t.Fatal(err)
		}
	}

	if got := read(); !bytes.Equal(got, signaling.Append(nil, signaling.Challenge{Time: 7})) {
		t.Errorf("the client was told %x", got)
	}
	write(signaling.Ack{Seq: 5}) // to be turned around
	if got := read(); !bytes.Equal(got, signaling.Append(nil, signaling.OK{ID: 5})) {
		t.Errorf("the client was told %x", got)
	}

	write(signaling.GrantRequest{ID: 9})
	if got := <-heard; got != signaling.Frame(signaling.GrantRequest{ID: 9}) {
		t.Errorf("the relay heard %#v", got)
	}
	client.CloseNow()
	<-relayEnded
	<-h.opened
	<-h.closed
}

// Without a relay behind the proxy, a client gets an HTTP error.
func TestServeWithoutRelay(t *testing.T) {
	away := httptest.NewServer(nil)
	away.Close()
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		signalingproxy.Serve(w, r, away.URL, newTurning())
	}))
	defer front.Close()

	r, err := http.Get(front.URL + signaling.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusBadGateway {
		t.Errorf("HTTP %d", r.StatusCode)
	}
}
