package turn

import (
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	pion "github.com/pion/turn/v4"
)

// TestPionClientRelays: a real client relays too, and changes from indications to channels by itself.
func TestPionClientRelays(t *testing.T) {
	s := serve(t, Config{})
	g := grant(t, s.config.Keys)
	open := func(conn net.PacketConn, server string, cred Credential) net.PacketConn {
		c, err := pion.NewClient(&pion.ClientConfig{
			TURNServerAddr: server,
			Username:       cred.Username,
			Password:       cred.Password,
			Realm:          "peephole",
			Conn:           conn,
			LoggerFactory:  pionLog{log: slog.New(slog.DiscardHandler)},
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Listen(); err != nil {
			t.Fatal(err)
		}

		t.Cleanup(func() { conn.Close() })
		t.Cleanup(c.Close)
		relayed, err := c.Allocate()
		if err != nil {
			t.Fatal(err)
		}

		t.Cleanup(func() { relayed.Close() })
		relayed.SetReadDeadline(time.Now().Add(patience))
		return relayed
	}

	udp, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	tcp, err := net.Dial("tcp", tcpOf(s).String())
	if err != nil {
		t.Fatal(err)
	}

	cam := open(udp, s.Addresses().UDP.String(), g.Camera)
	view := open(pion.NewSTUNConn(tcp), tcpOf(s).String(), g.Viewer)
	// The first packet of each also makes its permission. The viewer sends first, so that the camera's first reaches
	// it.
	p := make([]byte, 100)
	send := func(from, to net.PacketConn, data string) {
		t.Helper()
		if _, err := from.WriteTo([]byte(data), to.LocalAddr()); err != nil {
			t.Fatal(err)
		}
	}

	send(view, cam, "hello")
	for range 50 {
		send(cam, view, "picture")
		n, from, err := view.ReadFrom(p)
		if err != nil || string(p[:n]) != "picture" || from.String() != cam.LocalAddr().String() {
			t.Fatalf("viewer got %q from %v, %v", p[:n], from, err)
		}

		send(view, cam, "answer")
		if n, from, err := cam.ReadFrom(p); err != nil || from.String() != view.LocalAddr().String() {
			t.Fatalf("camera got %q from %v, %v", p[:n], from, err)
		}
	}

	if _, err := cam.WriteTo([]byte("out"), udp.LocalAddr()); err == nil || !strings.Contains(err.Error(), "403") {
		t.Errorf("pion's client could send elsewhere: %v", err)
	}
}
