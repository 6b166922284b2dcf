package portmap

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"
)

// fakeRoute returns a route to a router that a test plays, on the loopback network. No other process uses the router's
// address, since its ports are fixed.
func fakeRoute(last byte) route {
	id := os.Getpid()
	return route{
		gateway: netip.AddrFrom4([4]byte{127, 1 + byte(id>>8)%254, byte(id), last}),
		local:   netip.MustParseAddr("127.0.0.1"),
	}
}

// playPCP answers requests at the router's control port with what answer returns, nil for no answer, until the test
// ends or stop is called.
func playPCP(t *testing.T, r route, answer func(request []byte) []byte) (stop func()) {
	t.Helper()
	conn, err := net.ListenPacket("udp4", netip.AddrPortFrom(r.gateway, controlPort).String())
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	stop = func() { conn.Close(); <-done }
	t.Cleanup(stop)

	go func() {
		defer close(done)
		b := make([]byte, 2000)
		for {
			n, from, err := conn.ReadFrom(b)
			if err != nil {
				return
			}
			if a := answer(bytes.Clone(b[:n])); a != nil {
				_, _ = conn.WriteTo(a, from)
			}
		}
	}()

	return stop
}

// granted returns a proper answer to a request.
func granted(request []byte) []byte {
	a := bytes.Clone(request)
	a[1] |= pcpAnswer
	copy(a[4:8], []byte{0, 0, 0, 120})
	copy(a[42:], []byte{0xc3, 0x51, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 203, 0, 113, 7})
	return a
}

// TestPCPRequestIsThatOfRFC6887: to the byte; and an answer says where the port is, and for how long.
func TestPCPRequestIsThatOfRFC6887(t *testing.T) {
	m := &mapping{
		inside: netip.MustParseAddrPort("192.168.1.2:50000"),
		nonce:  [12]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12},
	}
	got := pcpRequest(m, netip.AddrPortFrom(netip.IPv4Unspecified(), 50000), lifetime)
	want := "02010000" + "00000258" + "00000000000000000000ffffc0a80102" + "0102030405060708090a0b0c" + "11000000" +
		"c350c350" + "00000000000000000000ffff00000000"
	if hex.EncodeToString(got) != want {
		t.Errorf("got  %x\nwant %s", got, want)
	}

	if l := parsePCP(granted(got)); l != (lease{netip.MustParseAddrPort("203.0.113.7:50001"), 2 * time.Minute}) {
		t.Errorf("lease %+v", l)
	}
}

// TestPCPAnswers: only an answer to this very request counts, and a lost packet is sent again.
func TestPCPAnswers(t *testing.T) {
	change := func(at int, to byte) func([]byte) []byte {
		return func(request []byte) []byte {
			a := granted(request)
			a[at] = to
			return a
		}
	}

	lost := 0
	for i, tt := range []struct {
		name   string
		answer func([]byte) []byte
		want   error // nil: granted
	}{
		{"granted", granted, nil},
		{"granted at the third", func(r []byte) []byte {
			if lost++; lost < 3 {
				return nil
			}
			return granted(r)
		}, nil},
		{"longer", func(r []byte) []byte { return append(granted(r), 0, 0, 0, 0) }, nil},
		{"NAT-PMP's", func([]byte) []byte { return []byte{0, 0x81, 0, 1, 0, 0, 0, 1} }, errNotPCP},
		{"version 1", change(0, 1), errNotPCP},
		{"a request", change(1, pcpMap), errNotPCP},
		{"another operation", change(1, 0x82), errNotPCP},
		{"refused", change(3, 2), errCode},
		{"another nonce", change(24, 99), errNotPCP},
		{"TCP", change(36, 6), errNotPCP},
		{"another inside port", change(41, 1), errNotPCP},
		{"for no time", func(r []byte) []byte { a := granted(r); copy(a[4:8], make([]byte, 4)); return a }, errNotPCP},
		{"at no port", func(r []byte) []byte { a := granted(r); copy(a[42:44], make([]byte, 2)); return a }, errNotPCP},
		{"short", func(r []byte) []byte { return granted(r)[:59] }, errNotPCP},
		{"empty", func([]byte) []byte { return []byte{} }, errNotPCP},
		{"too long", func(r []byte) []byte { return append(granted(r), make([]byte, maxPCP)...) }, errNotPCP},
		{"silence", func([]byte) []byte { return nil }, context.DeadlineExceeded},
	} {
		r := fakeRoute(byte(i + 1))
		playPCP(t, r, tt.answer)
		patience := time.Minute
		if errors.Is(tt.want, context.DeadlineExceeded) {
			patience = 500 * time.Millisecond
		}

		ctx, cancel := context.WithTimeout(t.Context(), patience)
		l, err := pcp{r}.grant(ctx, newMapping(netip.MustParseAddrPort("127.0.0.1:50000")))
		cancel()
		if !errors.Is(err, tt.want) || err == nil && l.outside.String() != "203.0.113.7:50001" {
			t.Errorf("%s: %+v, %v, want %v", tt.name, l, err, tt.want)
		}
	}

	if _, err := (pcp{fakeRoute(200)}).grant(t.Context(), newMapping(inside)); err == nil { // nobody is there
		t.Error("granted by nobody")
	}
}

// TestNATPMPIsTriedAfterPCP: a router that speaks only NAT-PMP is found too, and asked by that.
func TestNATPMPIsTriedAfterPCP(t *testing.T) {
	r := fakeRoute(100)
	var heard []string
	stop := playPCP(t, r, func(b []byte) []byte {
		what := hex.EncodeToString(b[:2])
		if b[0] == 0 && b[1] != 0 && binary.BigEndian.Uint32(b[8:12]) == 0 {
			what += " for no time"
		}
		heard = append(heard, what)
		switch {
		case b[0] != 0:
			return []byte{0, 0x81, 0, 1, 0, 0, 0, 9} // unsupported version
		case b[1] == 0:
			return []byte{0, 0x80, 0, 0, 0, 0, 0, 9, 203, 0, 113, 7}
		}

		return append([]byte{0, 0x81, 0, 0, 0, 0, 0, 9, b[4], b[5], 0xc3, 0x51}, b[8:12]...)
	})

	m := newMapper(protocols()...)
	m.route = func() (route, error) { return r, nil }
	for i := range m.protocols {
		m.protocols[i].wait = time.Minute // a busy machine answers late
	}

	ctx, cancel := context.WithCancel(t.Context())
	err := m.Map(ctx, netip.AddrPortFrom(r.local, 50000), func(a netip.AddrPort) {
		if a.String() != "203.0.113.7:50001" {
			t.Errorf("found %v", a)
		}
		cancel()
	})

	stop() // only now may we read what the router heard

	heard = slices.Compact(heard) // what is answered late is asked again
	if want := []string{"0201", "0000", "0001", "0001 for no time"}; err != nil || !slices.Equal(heard, want) {
		t.Errorf("%v; the router heard %q, want %q", err, heard, want)
	}
}

func FuzzPCPAnswer(f *testing.F) {
	request := pcpRequest(newMapping(inside), netip.AddrPortFrom(netip.IPv4Unspecified(), 50000), lifetime)
	f.Add(granted(request))
	f.Add(granted(request)[:24])
	f.Add([]byte{0, 0x81, 0, 1, 0, 0, 0, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		if checkPCP(request, b) == nil {
			if l := parsePCP(b); !bytes.Equal(b[24:42], request[24:42]) || !l.outside.Addr().IsValid() {
				t.Errorf("accepted %x", b)
			}
		}
	})
}
