package turn

import (
	"bytes"
	"encoding/hex"
	"net"
	"strings"
	"testing"

	"github.com/pion/stun/v3"
)

// vectors are the messages of RFC 5769, sections 2.1 to 2.4, and what they contain.
var vectors = []struct {
	name        string
	hex         string
	request     bool
	integrity   stun.MessageIntegrity
	fingerprint bool
	mapped      *stun.XORMappedAddress
	texts       map[stun.AttrType]string
}{
	{
		name:        "request",
		request:     true,
		fingerprint: true,
		integrity:   stun.NewShortTermIntegrity("VOkJxbRl1RmTxUk/WvJxBt"),
		texts:       map[stun.AttrType]string{stun.AttrSoftware: "STUN test client", stun.AttrUsername: "evtj:h6vY"},
		hex: `00010058 2112a442 b7e7a701 bc34d686 fa87dfae
			80220010 5354554e 20746573 7420636c 69656e74
			00240004 6e0001ff 80290008 932ff9b1 51263b36
			00060009 6576746a 3a683676 59202020
			00080014 9aeaa70c bfd8cb56 781ef2b5 b2d3f249 c1b571a2
			80280004 e57a3bcf`,
	},
	{
		name:        "IPv4 response",
		fingerprint: true,
		integrity:   stun.NewShortTermIntegrity("VOkJxbRl1RmTxUk/WvJxBt"),
		mapped:      &stun.XORMappedAddress{IP: net.ParseIP("192.0.2.1"), Port: 32853},
		texts:       map[stun.AttrType]string{stun.AttrSoftware: "test vector"},
		hex: `0101003c 2112a442 b7e7a701 bc34d686 fa87dfae
			8022000b 74657374 20766563 746f7220
			00200008 0001a147 e112a643
			00080014 2b91f599 fd9e90c3 8c7489f9 2af9ba53 f06be7d7
			80280004 c07d4c96`,
	},
	{
		name:        "IPv6 response",
		fingerprint: true,
		integrity:   stun.NewShortTermIntegrity("VOkJxbRl1RmTxUk/WvJxBt"),
		mapped:      &stun.XORMappedAddress{IP: net.ParseIP("2001:db8:1234:5678:11:2233:4455:6677"), Port: 32853},
		texts:       map[stun.AttrType]string{stun.AttrSoftware: "test vector"},
		hex: `01010048 2112a442 b7e7a701 bc34d686 fa87dfae
			8022000b 74657374 20766563 746f7220
			00200014 0002a147 0113a9fa a5d3f179 bc25f4b5 bed2b9d9
			00080014 a382954e 4be67bf1 1784c97c 8292c275 bfe3ed41
			80280004 c8fb0b4c`,
	},
	{
		name:      "request with long-term credentials",
		request:   true,
		integrity: stun.NewLongTermIntegrity("マトリックス", "example.org", "TheMatrIX"), // as SASLprep leaves it
		texts: map[stun.AttrType]string{
			stun.AttrUsername: "マトリックス", stun.AttrRealm: "example.org", stun.AttrNonce: "f//499k954d6OL34oL9FSTvy64sA",
		},
		hex: `00010060 2112a442 78ad3433 c6ad72c0 29da412e
			00060012 e3839ee3 8388e383 aae38383 e382afe3 82b90000
			0015001c 662f2f34 39396b39 35346436 4f4c3334 6f4c3946 53547679 36347341
			0014000b 6578616d 706c652e 6f726700
			00080014 f6702465 6dd64a3e 02b8e071 2e85c9a2 8ca89666`,
	},
}

func vector(t *testing.T, text string) []byte {
	t.Helper()
	raw, err := hex.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// TestRFC5769MessagesAreRead: the published messages parse as they should, and inspect treats them like everything that
// arrives.
func TestRFC5769MessagesAreRead(t *testing.T) {
	for _, v := range vectors {
		t.Run(v.name, func(t *testing.T) {
			raw := vector(t, v.hex)
			var r request
			if r.inspect(bytes.Clone(raw), true) != v.request {
				t.Errorf("goes up to pion: %v, want %v", !v.request, v.request)
			}

			m := &stun.Message{Raw: bytes.Clone(raw)}
			if err := m.Decode(); err != nil {
				t.Fatal(err)
			}
			if err := v.integrity.Check(m); err != nil {
				t.Error(err)
			}

			if err := stun.Fingerprint.Check(m); (err == nil) != v.fingerprint {
				t.Errorf("fingerprint: %v", err)
			}
			for kind, want := range v.texts {
				if got, err := m.Get(kind); err != nil || string(got) != want {
					t.Errorf("%v is %q, %v, want %q", kind, got, err, want)
				}
			}

			if v.mapped != nil {
				var got stun.XORMappedAddress
				if err := got.GetFrom(m); err != nil || !got.IP.Equal(v.mapped.IP) || got.Port != v.mapped.Port {
					t.Errorf("mapped address %v, %v, want %v", got, err, v.mapped)
				}
			}
		})
	}
}

// TestRFC5769ChangedByteIsNoticed: a change of any byte that MESSAGE-INTEGRITY protects is noticed.
func TestRFC5769ChangedByteIsNoticed(t *testing.T) {
	for _, v := range vectors {
		raw := vector(t, v.hex)
		protected := len(raw)
		if v.fingerprint {
			protected -= 8
		}

		for i := range protected {
			changed := bytes.Clone(raw)
			changed[i] ^= 0x40
			m := &stun.Message{Raw: changed}
			if m.Decode() == nil && v.integrity.Check(m) == nil {
				t.Errorf("%s: byte %d was changed, and nothing notices", v.name, i)
			}
		}
	}
}
