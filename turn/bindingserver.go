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

// AnswerBindings answers Binding requests, and nothing else, until conn is closed. The addresses of conn are of type
// *net.UDPAddr. With a second port like this, a client sees whether the NAT in front of it maps one socket alike for
// two destinations (RFC 5780, section 4.3), and with RESPONSE-PORT whether that NAT lets in packets from where nothing
// was sent (section 4.4).
func AnswerBindings(conn net.PacketConn) {
	r := newRequestLimits(&Limits{}, time.Now())
	answerBindings(conn, newAmplificationLimit(time.Now()), &r)
}

func answerBindings(conn net.PacketConn, amplification *meter, requests *requestLimits) {
	var wait backoff
	p := make([]byte, maxMessage)
	for {
		n, addr, err := conn.ReadFrom(p)
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			wait.after(nil)
			continue
		}

		from := addr.(*net.UDPAddr).AddrPort()
		client, now := from.Addr().Unmap(), time.Now()
		if !amplification.canSpend(client, n, amplificationReserve, now) || !requests.allow(nil, client, now) {
			continue // whatever it is, it must cost no more than this
		}

		answer, to := bindingAnswer(p[:n], from)
		if answer != nil && amplification.spend(to.Addr(), n, len(answer), time.Now()) {
			_, _ = conn.WriteTo(answer, net.UDPAddrFromAddrPort(to)) // may be lost, as any datagram may
		}
	}
}

// pad makes the answer to a padded request as long as the request (RFC 5780, section 7.6), which shows a client which
// sizes get through both ways.
func pad(answer, request *stun.Message) {
	const header = 4
	room := (len(request.Raw) - len(answer.Raw) - header) &^ 3
	if request.Contains(stun.AttrPadding) && room >= 0 {
		answer.Add(stun.AttrPadding, make([]byte, room))
	}
}

// bindingAnswer returns the answer to a Binding request and where it goes, nil for anything else. RESPONSE-PORT (RFC
// 5780, section 7.5) sends the answer to another port of the address that asked, but never to another address. Such an
// answer is never longer than the request, so that forging the address gains nothing.
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
