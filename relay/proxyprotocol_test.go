package relay

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net/netip"
	"strings"
	"testing"
)

// proxyHeader2For returns a header of version 2.
func proxyHeader2For(command, protocol byte, body ...byte) []byte {
	p := append([]byte(proxyPrefix2), command, protocol)
	p = binary.BigEndian.AppendUint16(p, uint16(len(body)))
	return append(p, body...)
}

var (
	body4 = []byte{192, 0, 2, 7, 10, 0, 0, 1, 0x30, 0x39, 0x01, 0xbb}
	body6 = bytes.Join([][]byte{
		netip.MustParseAddr("2001:db8::7").AsSlice(), netip.MustParseAddr("2001:db8::1").AsSlice(),
		{0x30, 0x39, 0x01, 0xbb},
	}, nil)
)

// extended returns a header of version 2 with extensions behind the addresses.
func extended(extensions ...byte) string {
	return string(proxyHeader2For(proxyProxy, proxyTCP4, append(bytes.Clone(body4), extensions...)...))
}

func TestProxyHeader(t *testing.T) {
	for _, tt := range []struct {
		name, header, want string // want is the client, "-" for the proxy itself, or empty if the header is refused
	}{
		{"TCP4", "PROXY TCP4 192.0.2.7 10.0.0.1 12345 443\r\n", "192.0.2.7:12345"},
		{"TCP6", "PROXY TCP6 2001:db8::7 2001:db8::1 12345 443\r\n", "[2001:db8::7]:12345"},
		{"TCP6, mapped", "PROXY TCP6 ::ffff:192.0.2.7 ::ffff:10.0.0.1 0 443\r\n", "192.0.2.7:0"},
		{"unknown", "PROXY UNKNOWN\r\n", "-"},
		{"unknown, with more", "PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n", "-"},
		{"UDP4", "PROXY UDP4 192.0.2.7 10.0.0.1 12345 443\r\n", ""},
		{"lower case", "proxy tcp4 192.0.2.7 10.0.0.1 12345 443\r\n", ""},
		{"wrong family", "PROXY TCP4 2001:db8::7 2001:db8::1 12345 443\r\n", ""},
		{"two families", "PROXY TCP4 192.0.2.7 2001:db8::1 12345 443\r\n", ""},
		{"zone", "PROXY TCP6 fe80::7%eth0 fe80::1 12345 443\r\n", ""},
		{"leading zero", "PROXY TCP4 192.0.2.07 10.0.0.1 12345 443\r\n", ""},
		{"leading zero of a port", "PROXY TCP4 192.0.2.7 10.0.0.1 012345 443\r\n", ""},
		{"sign of a port", "PROXY TCP4 192.0.2.7 10.0.0.1 +1234 443\r\n", ""},
		{"port out of range", "PROXY TCP4 192.0.2.7 10.0.0.1 65536 443\r\n", ""},
		{"two spaces", "PROXY TCP4  192.0.2.7 10.0.0.1 12345 443\r\n", ""},
		{"a field more", "PROXY TCP4 192.0.2.7 10.0.0.1 12345 443 1\r\n", ""},
		{"a field less", "PROXY TCP4 192.0.2.7 10.0.0.1 12345\r\n", ""},
		{"line feed alone", "PROXY TCP4 192.0.2.7 10.0.0.1 12345 443\n GET / HTTP/1.1\r\n", ""},
		{"too long", "PROXY UNKNOWN " + strings.Repeat("x", maxProxyLine-15) + "\r\n", ""},
		{"as long as can be", "PROXY UNKNOWN " + strings.Repeat("x", maxProxyLine-16) + "\r\n", "-"},
		{"unspecified", "PROXY TCP4 0.0.0.0 10.0.0.1 12345 443\r\n", ""},
		{"multicast", "PROXY TCP6 ff02::1 2001:db8::1 12345 443\r\n", ""},
		{"HTTP", "GET / HTTP/1.1\r\nHost: relay\r\n\r\n", ""},
		{"TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03aaaaaaaaaa", ""},
		{"cut short", "PROXY TCP4 192.0.2.7 10.", ""},

		{"2, TCP4", string(proxyHeader2For(proxyProxy, proxyTCP4, body4...)), "192.0.2.7:12345"},
		{"2, TCP6", string(proxyHeader2For(proxyProxy, proxyTCP6, body6...)), "[2001:db8::7]:12345"},
		{"2, with extensions", extended(4, 0, 1, 0, 0x20, 0, 2, 9, 9), "192.0.2.7:12345"},
		{"2, extension cut short", extended(4, 0, 2, 0), ""},
		{"2, half an extension", extended(4, 0), ""},
		{"2, local", string(proxyHeader2For(proxyLocal, proxyTCP4, body4...)), "-"},
		{"2, local with anything", string(proxyHeader2For(proxyLocal, 0xff, 1, 2, 3)), "-"},
		{"2, unspecified protocol", string(proxyHeader2For(proxyProxy, proxyNone)), "-"},
		{"2, addresses cut short", string(proxyHeader2For(proxyProxy, proxyTCP6, body4...)), ""},
		{"2, UDP", string(proxyHeader2For(proxyProxy, 0x12, body4...)), ""},
		{"2, UNIX", string(proxyHeader2For(proxyProxy, 0x31, make([]byte, 216)...)), ""},
		{"2, another command", string(proxyHeader2For(0x22, proxyTCP4, body4...)), ""},
		{"2, another version", string(proxyHeader2For(0x31, proxyTCP4, body4...)), ""},
		{"2, too long", string(proxyHeader2For(proxyLocal, 0, make([]byte, maxProxyBody+1)...)), ""},
		{"2, cut short", string(proxyHeader2For(proxyProxy, proxyTCP4, body4...)[:20]), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := strings.NewReader(tt.header + "behind")
			if strings.Contains(tt.name, "cut short") {
				r = strings.NewReader(tt.header)
			}
			got, err := readProxyHeader(r)
			if tt.want == "" {
				if !errors.Is(err, errProxyHeader) && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
					t.Errorf("%v, %v, want it refused", got, err)
				}
				return
			}

			if err != nil || got.IsValid() != (tt.want != "-") || got.IsValid() && got.String() != tt.want {
				t.Errorf("%v, %v, want %s", got, err, tt.want)
			}
			if rest, _ := io.ReadAll(r); string(rest) != "behind" {
				t.Errorf("%q is left, want exactly what is behind the header", rest)
			}
		})
	}
}

// FuzzProxyHeader: a header is accepted only if it has a bounded length and a strict sender could have written it. It
// names a client or nobody.
func FuzzProxyHeader(f *testing.F) {
	f.Add([]byte("PROXY TCP4 192.0.2.7 10.0.0.1 12345 443\r\n"))
	f.Add([]byte("PROXY UNKNOWN\r\n"))
	f.Add(proxyHeader2For(proxyProxy, proxyTCP4, body4...))
	f.Add(proxyHeader2For(proxyProxy, proxyTCP6, body6...))
	f.Add(proxyHeader2For(proxyLocal, proxyNone))
	f.Fuzz(func(t *testing.T, p []byte) {
		r := bytes.NewReader(p)
		got, err := readProxyHeader(r)
		read := p[:len(p)-r.Len()]
		if len(read) > proxyHeader2+maxProxyBody {
			t.Errorf("%d bytes were read", len(read))
		}

		if err != nil {
			if got.IsValid() {
				t.Errorf("returns both %v and %v", got, err)
			}
			return
		}

		line := bytes.HasPrefix(read, []byte(proxyPrefix1)) && bytes.HasSuffix(read, []byte("\r\n"))
		if !(line && len(read) <= maxProxyLine) && !bytes.HasPrefix(read, []byte(proxyPrefix2)) {
			t.Errorf("%q is accepted as a header", read)
		}
		if a := got.Addr(); got.IsValid() && (!isClient(a) || a.Is4In6()) {
			t.Errorf("%v is accepted as a client", a)
		}

		if again, err := readProxyHeader(bytes.NewReader(read)); err != nil || again != got {
			t.Errorf("the header alone reads as %v, %v", again, err)
		}
	})
}
