package turn

import (
	"bytes"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/pion/stun/v3"
)

func padding(n int) stun.Setter { return attribute(stun.AttrPadding, make([]byte, n)...) }

// TestBindingPortAnswersNothingElse: the second port answers with a client's address, at another port of that address
// if asked, and does nothing else.
func TestBindingPortAnswersNothingElse(t *testing.T) {
	s := serve(t, Config{BindingAddress: "127.0.0.1:0"})
	asking, other := sink(t), sink(t)
	request := func(setters ...stun.Setter) *stun.Message {
		m, err := stun.Build(append([]stun.Setter{stun.TransactionID, stun.BindingRequest}, setters...)...)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := asking.WriteToUDPAddrPort(m.Raw, s.Addresses().Binding); err != nil {
			t.Fatal(err)
		}
		return m
	}

	otherPort := uint16(other.LocalAddr().(*net.UDPAddr).Port)
	to := attribute(stun.AttrResponsePort, byte(otherPort>>8), byte(otherPort))
	for _, tt := range []struct {
		name    string
		setters []stun.Setter
		at      *net.UDPConn
	}{
		{"plain", nil, asking},
		{"padded", []stun.Setter{padding(1200)}, asking},
		{"padded as far as can be", []stun.Setter{padding(1472 - 24)}, asking},
		{"to another port", []stun.Setter{to, padding(8)}, other},
		{"to port 0, and then plain", []stun.Setter{attribute(stun.AttrResponsePort, 0, 0), padding(8)}, nil},
		{"to half a port, and then plain", []stun.Setter{attribute(stun.AttrResponsePort, 1), padding(8)}, nil},
		{"to another port with an answer longer than the request, and then plain", []stun.Setter{to}, nil},
		{"allocate, and then plain", []stun.Setter{stun.NewType(stun.MethodAllocate, stun.ClassRequest)}, nil},
		{"answer, and then plain", []stun.Setter{stun.BindingSuccess}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sent := request(tt.setters...)
			// Requests are answered in order: if this one's answer comes first, the other got none.
			if tt.at == nil {
				sent, tt.at = request(), asking
			}

			got, from := readMessage(t, tt.at)
			var mapped stun.XORMappedAddress
			err := mapped.GetFrom(got)
			answers := got.Type == stun.BindingSuccess && got.TransactionID == sent.TransactionID
			if err != nil || !answers || from != s.Addresses().Binding {
				t.Fatalf("%v from %s, %v", got, from, err)
			}

			if mapped.String() != asking.LocalAddr().String() {
				t.Errorf("mapped address %s, want %s", mapped, asking.LocalAddr())
			}
			padded := sent.Contains(stun.AttrPadding) && len(sent.Raw) >= 36
			if padded && len(got.Raw) != len(sent.Raw) {
				t.Errorf("the answer to %[2]d padded bytes has %[1]d", len(got.Raw), len(sent.Raw))
			}

			if tt.at == other && len(got.Raw) > len(sent.Raw) {
				t.Errorf("the answer to %[2]d bytes has %[1]d", len(got.Raw), len(sent.Raw))
			}
		})
	}

	untouched(t, asking)
	untouched(t, other)
}

func readMessage(t *testing.T, c *net.UDPConn) (*stun.Message, netip.AddrPort) {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(patience))
	p := make([]byte, 1500)
	n, from, err := c.ReadFromUDPAddrPort(p)
	if err != nil {
		t.Fatal(err)
	}

	m := &stun.Message{Raw: p[:n]}
	if err := m.Decode(); err != nil {
		t.Fatal(err)
	}
	return m, from
}

// FuzzBindingAnswer: whatever comes, an answer goes only to the address that it came from, and an answer to another
// port is no longer than the request.
func FuzzBindingAnswer(f *testing.F) {
	plain := message(0x0001, "")
	f.Add(plain, true)
	f.Add(message(0x0001, "0027000204d20000"+"0026000800000000"+"00000000"), false)
	f.Add(message(0x0001, "0027000204d20000"), true)
	f.Add(message(0x0001, "0027000200000000"+"0026000800000000"+"00000000"), true)
	f.Add(message(0x0003, ""), true)

	f.Fuzz(func(t *testing.T, p []byte, four bool) {
		from := netip.MustParseAddrPort("[2001:db8::1]:7")
		if four {
			from = netip.MustParseAddrPort("[::ffff:192.0.2.1]:7")
		}
		before := bytes.Clone(p)
		answer, to := bindingAnswer(p, from)
		if !bytes.Equal(p, before) {
			t.Error("the request was changed")
		}

		if answer == nil {
			return
		}
		if to.Addr() != from.Addr() || to.Port() == 0 {
			t.Errorf("answer goes to %s", to)
		}

		if to != from && len(answer) > len(p) {
			t.Errorf("%d bytes to another port for %d", len(answer), len(p))
		}
	})
}
