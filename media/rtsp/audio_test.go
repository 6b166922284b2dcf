package rtsp

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

func TestAAC(t *testing.T) {
	a, err := ParseAAC("streamtype=5;mode=AAC-hbr;config=1408;SizeLength=13;IndexLength=3; IndexDeltaLength=3")
	got := fmt.Sprintf("%d %d %d %x", a.SizeLength, a.IndexLength, a.IndexDeltaLength, a.Config)
	if err != nil || got != "13 3 3 1408" {
		t.Fatalf("%s, %v", got, err)
	}
	rows := []struct{ name, payload, want string }{
		{"one frame", "\x00\x10\x00\x18abc", "[616263]"},
		{"two frames", "\x00\x20\x00\x10\x00\x18abcde", "[6162 636465]"},
		{"the first part of a frame", "\x00\x10\x00\x50abc", "616263 of 10"},
		{"no headers", "\x00\x00abc", "malformed"},
		{"headers without end", "\xff\xffabc", "malformed"},
		{"half a header", "\x00\x08\x00abc", "malformed"},
		{"a second frame that is longer than the packet", "\x00\x20\x00\x10\x00\x50abcde", "malformed"},
		{"one byte", "\x00", "malformed"},
		{"nothing", "", "malformed"},
	}
	for _, row := range rows {
		frames, rest, size, err := a.Frames([]byte(row.payload))
		got := fmt.Sprintf("%x", frames)
		switch {
		case errors.Is(err, ErrMalformed):
			got = "malformed"
		case size > 0:
			got = fmt.Sprintf("%x of %d", rest, size)
		}

		if got != row.want {
			t.Errorf("%s: %s, want %s", row.name, got, row.want)
		}
	}

	for _, bad := range []string{"", "SizeLength=x", "SizeLength=99", "SizeLength=13;config=zz", "SizeLength=-1"} {
		if a, err := ParseAAC(bad); !errors.Is(err, ErrMalformed) {
			t.Errorf("%q: %+v, %v", bad, a, err)
		}
	}
}

func TestOpusDuration(t *testing.T) {
	for packet, want := range map[string]time.Duration{
		"\x00":         10 * time.Millisecond,
		"\x18":         60 * time.Millisecond,
		"\x09":         40 * time.Millisecond, // two of 20 ms
		"\x70":         10 * time.Millisecond,
		"\x80":         2500 * time.Microsecond,
		"\xfc\xff\xfe": 20 * time.Millisecond,
		"\xfb\x06":     120 * time.Millisecond,
		"\xfb\x07":     0,
		"\xfb\x00":     0,
		"\xfb":         0,
		"":             0,
	} {
		got, err := OpusDuration([]byte(packet))
		if got != want || (want == 0) != errors.Is(err, ErrMalformed) {
			t.Errorf("%x: %v, %v; want %v", packet, got, err, want)
		}
	}
}

// The values are from the tables of ITU-T G.711, scaled to 16 bits.
func TestG711(t *testing.T) {
	for code, want := range map[byte]int16{
		0x00: -32124, 0x80: 32124, 0xff: 0, 0x7f: 0, 0xfe: 8, 0xf0: 120, 0xef: 132, 0x8f: 16764,
	} {
		if got := DecodeULaw(nil, []byte{code}); len(got) != 1 || got[0] != want {
			t.Errorf("PCMU %#x: %v, want %d", code, got, want)
		}
	}

	for code, want := range map[byte]int16{0xd5: 8, 0x55: -8, 0xd4: 24, 0xaa: 32256, 0x2a: -32256, 0xc5: 264,
		0xf5: 528} {
		if got := DecodeALaw(nil, []byte{code}); len(got) != 1 || got[0] != want {
			t.Errorf("PCMA %#x: %v, want %d", code, got, want)
		}
	}

	for b := range 128 { // both are odd functions: only the sign bit differs
		u, a := DecodeULaw(nil, []byte{byte(b), byte(b) | 0x80}), DecodeALaw(nil, []byte{byte(b), byte(b) | 0x80})
		if u[0] != -u[1] || a[0] != -a[1] {
			t.Errorf("%#x: %v, %v", b, u, a)
		}
	}
}
