package turn

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"time"

	"github.com/pion/stun/v3"
)

// listenBindings opens a server's second UDP port.
func listenBindings(address string) (*net.UDPConn, error) {
	c, err := net.ListenPacket("udp", address)
	if err != nil {
		return nil, err
	}
	return c.(*net.UDPConn), nil
}

// AnswerBindings answers Binding requests, and nothing else, until conn is closed. By a second port like this a client sees
// whether the NAT in front of it maps one socket alike for two destinations (RFC 5780, section 4.3), and by RESPONSE-PORT
// whether that NAT lets in what comes from where nothing was sent (section 4.4).
func AnswerBindings(conn *net.UDPConn) { answerBindings(conn, newCredit(time.Now())) }

func answerBindings(conn *net.UDPConn, credit *credit) {
	var wait backoff
	p := make([]byte, maxMessage)
	for {
		n, from, err := conn.ReadFromUDPAddrPort(p)
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			wait.after(nil)
			continue
		}
		if answer, to := bindingAnswer(p[:n], from); answer != nil && credit.spend(to.Addr(), n, len(answer), time.Now()) {
			_, _ = conn.WriteToUDPAddrPort(answer, to) // as lost as any datagram may be
		}
	}
}

// pad makes the answer to a padded request as long as that (RFC 5780, section 7.6): a client sees by it which sizes get through both ways.
func pad(answer, request *stun.Message) {
	const header = 4
	room := (len(request.Raw) - len(answer.Raw) - header) &^ 3
	if request.Contains(stun.AttrPadding) && room >= 0 {
		answer.Add(stun.AttrPadding, make([]byte, room))
	}
}

// bindingAnswer is what answers a Binding request, and where it goes; nil to anything else. By RESPONSE-PORT (RFC 5780,
// section 7.5) the answer goes to another port of the address that asked, and to no other address. It is then never longer
// than the request, so that nobody who forges that address gains by it.
func bindingAnswer(p []byte, from netip.AddrPort) ([]byte, netip.AddrPort) {
	class, ok := stunClass(p)
	if !ok || class != stun.ClassRequest {
		return nil, from
	}
	m := stun.Message{Raw: p}
	if m.Decode() != nil || m.Type != stun.BindingRequest {
		return nil, from
	}
	client := netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
	mapped := stun.XORMappedAddress{IP: client.Addr().WithZone("").AsSlice(), Port: int(client.Port())}
	answer, err := stun.Build(&m, stun.BindingSuccess, &mapped)
	if err != nil {
		return nil, from
	}
	pad(answer, &m)
	port, err := m.Get(stun.AttrResponsePort)
	if err != nil {
		return answer.Raw, from
	}
	if len(port) < 2 || binary.BigEndian.Uint16(port) == 0 || len(answer.Raw) > len(p) {
		return nil, from
	}
	return answer.Raw, netip.AddrPortFrom(from.Addr(), binary.BigEndian.Uint16(port))
}
