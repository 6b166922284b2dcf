package p2p

import (
	"bytes"
	"net/netip"
	"testing"

	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/util"
	pb "github.com/libp2p/go-libp2p/p2p/protocol/identify/pb"
	ma "github.com/multiformats/go-multiaddr"
)

// identifyMessage is what a host that sees its caller at an address sends.
func identifyMessage(t testing.TB, observed []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := util.NewDelimitedWriter(&b).WriteMsg(&pb.Identify{ObservedAddr: observed}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestRelaySaysHowItSeesUs: by an IP address where somebody can be, whatever comes behind it; anything else is no
// answer.
func TestRelaySaysHowItSeesUs(t *testing.T) {
	for text, want := range map[string]string{
		"/ip4/203.0.113.5/udp/4001/quic-v1": "203.0.113.5",
		"/ip6/2001:db8::5/udp/4001/quic-v1": "2001:db8::5",
		"/ip6/::ffff:203.0.113.5/udp/4001":  "203.0.113.5",
		"/ip4/10.0.0.2/tcp/1":               "10.0.0.2",
		"/ip4/127.0.0.1/udp/4001/quic-v1":   "",
		"/ip4/0.0.0.0/udp/4001/quic-v1":     "",
		"/ip4/224.0.0.251/udp/5353":         "",
		"/ip6/fe80::1/udp/4001/quic-v1":     "",
		"/dns/relay.example/udp/4001":       "",
	} {
		got, err := readIdentify(bytes.NewReader(identifyMessage(t, ma.StringCast(text).Bytes())))
		if want == "" && err == nil || want != "" && got != netip.MustParseAddr(want) {
			t.Errorf("%s: %v, %v; want %q", text, got, err, want)
		}
	}

	for name, message := range map[string][]byte{
		"nothing":         nil,
		"no address":      identifyMessage(t, nil),
		"no multiaddress": identifyMessage(t, []byte("somewhere")),
		"cut short":       identifyMessage(t, ma.StringCast("/ip4/203.0.113.5/udp/1").Bytes())[:5],
		"too long":        identifyMessage(t, make([]byte, maxIdentify)),
	} {
		if got, err := readIdentify(bytes.NewReader(message)); err == nil {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// FuzzIdentify: whatever a relay says, this end is nowhere but where somebody can be.
func FuzzIdentify(f *testing.F) {
	f.Add(identifyMessage(f, ma.StringCast("/ip4/203.0.113.5/udp/4001/quic-v1").Bytes()))
	f.Add(identifyMessage(f, ma.StringCast("/dns/relay.example/udp/4001").Bytes()))
	f.Fuzz(func(t *testing.T, data []byte) {
		if got, err := readIdentify(bytes.NewReader(data)); err == nil && (!got.IsGlobalUnicast() || got.Is4In6()) {
			t.Errorf("seen as %v", got)
		}
	})
}
