package rtsp

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

// Whatever a server sends is read to its end or to a limit, and no message breaks a rule.
func FuzzMessage(f *testing.F) {
	f.Add([]byte("RTSP/1.0 200 OK\r\nCSeq: 1\r\nContent-Length: 4\r\n\r\nv=0\n" +
		"$\x00\x00\x0c\x80\x60\x00\x01\x00\x00\x00\x00\x00\x00\x00\x2a"))
	f.Add([]byte("RTSP/1.0 200 OK\rCSeq: 1\r\rOPTIONS * RTSP/1.0\n\n"))

	f.Fuzz(func(t *testing.T, stream []byte) {
		r := newMessageReader(bytes.NewReader(stream), func(c uint8) bool { return c == 0 })
		for range len(stream) + 1 {
			m, err := r.next()
			if err != nil {
				return
			}
			if m.isFrame() && m.body[0]>>6 != 2 || !m.isFrame() && len(m.body) > maxBody || len(m.reason) > maxReason {
				t.Fatalf("%+v", m)
			}
			if strings.ContainsFunc(m.reason, func(r rune) bool { return r < ' ' || r > '~' }) {
				t.Fatalf("a terminal gets %q", m.reason)
			}
		}
		t.Fatal("more messages than bytes")
	})
}

// A valid description leads to a track whose URL does not break a request.
func FuzzDescription(f *testing.F) {
	f.Add([]byte("v=0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"+
		"a=fmtp:96 sprop-parameter-sets=Z0IACg==,aM4=\r\na=control:t 1\r\n"), "rtsp://cam/a")
	f.Add([]byte("m=video 0 RTP/AVP 96 97\na=rtpmap:97 H265/90000\n"+
		"a=fmtp:97 sprop-vps=QAE=;sprop-max-don-diff=1"), "rtsp://cam/a/?b")
	f.Fuzz(func(t *testing.T, body []byte, base string) {
		d, err := parseDescription(body, []string{"H264", "H265"})
		if err != nil {
			return
		}
		if newFormat(d) == nil || d.clockRate == 0 || d.payload > 127 {
			t.Fatalf("%+v", d)
		}

		for _, set := range d.sets {
			if len(set) < 2 {
				t.Fatalf("a parameter set of %d bytes", len(set))
			}
		}

		to, err := parseTarget(base)
		if err != nil {
			return
		}
		line := string(appendRequest(nil, request{method: "SETUP", url: controlURL(to.url, d.track)}, 1))
		if strings.Count(line, "\r\n") != 4 || len(strings.Fields(strings.SplitN(line, "\r\n", 2)[0])) != 3 {
			t.Fatalf("a request in pieces: %q", line)
		}
	})
}

// Whatever the challenge of a server, the answer is one line and does not contain the password.
func FuzzChallenge(f *testing.F) {
	f.Add(`Digest realm="a\"b", nonce="c", qop="auth,auth-int", algorithm=SHA-256-sess, opaque="", stale=TRUE`)
	f.Add(`Basic realm="a"`)
	f.Add(`Digest realm=a,nonce=b,algorithm="MD5"`)
	f.Fuzz(func(t *testing.T, field string) {
		if strings.ContainsAny(field, "\r\n") {
			return // a header line cannot contain it
		}
		a := authenticator{user: "admin", password: "correct horse", has: true}
		if err := a.acceptChallenge(header{"www-authenticate": {field}}, false); err != nil {
			return
		}

		line := a.authorization(request{method: "DESCRIBE", url: "rtsp://cam/live"})
		if line == "" || strings.ContainsAny(line, "\r\n") || strings.Contains(line, "correct horse") {
			t.Fatalf("%q", line)
		}
	})
}

// Whatever packets arrive, access units are Annex B within their limit, times do not decrease, and memory is bounded.
// Each packet is a byte with its length, one that says how numbers and timestamps continue, and its payload.
func FuzzPackets(f *testing.F) {
	f.Add([]byte("\x03\x80\x67\x42\x00\x03\x00\x68\xce\x00\x04\x00\x7c\x85\x88\x01\x04\x80\x7c\x45\x02\x03"), false,
		false)
	f.Add([]byte("\x06\x00\x78\x00\x02\x67\x42\x00\x04\x80\x65\x88\x00\x00\x03\x8c\x41\x9a\x01"), true, false)
	f.Add([]byte("\x05\x00\x40\x01\x0c\x01\xff\x06\x80\x62\x01\x93\x80\x00\x00\x05\x80\x62\x01\x53\x01\x02"), false,
		true)
	f.Fuzz(func(t *testing.T, script []byte, udp, hevc bool) {
		const limit = 4096
		d, way := description{codec: "H264", alone: true, clockRate: 90000}, overTCP
		if udp {
			way = overUDP
		}

		if hevc {
			d.codec, d.don = "H265", len(script)%2 == 0
		}
		var last time.Duration
		var counters counters
		track := newTrack(d, way, Config{MaxUnit: limit}, func(u Unit) {
			if !bytes.HasPrefix(u.Data, startCode) || len(u.Data) > limit || u.PTS < last {
				t.Fatalf("%x at %v after %v", u.Data, u.PTS, last)
			}
			last = u.PTS
		}, &counters)

		now := time.Unix(1000, 0)
		number, timestamp, ssrc := uint16(0xfff8), uint32(0xffffff00), uint32(1)
		for len(script) >= 2 {
			size, how := min(int(script[0]), len(script)-2), script[1]
			payload := script[2 : 2+size]
			script = script[2+size:]
			track.receive(packetBytes(number, timestamp, ssrc, how&0x80 != 0, payload...), now)

			number += [8]uint16{1, 1, 1, 2, 0xffff, 0, 5, 3000}[how&7]
			timestamp += [4]uint32{0, 3000, 0xfffff000, 1 << 31}[how>>3&3]
			ssrc += uint32(how >> 5 & 1)
			now = now.Add(time.Duration(how>>6&1) * 60 * time.Millisecond)
			if cap(track.assembler.data) > 2*maxBuffer || len(track.jitter.waiting) > maxWaiting {
				t.Fatalf("%d bytes and %d packets are kept", cap(track.assembler.data), len(track.jitter.waiting))
			}

			if at, ok := track.deadline(); ok && at.Before(now) {
				track.expire(now)
			}
		}
	})
}

// Frames lie within their payload, and durations are those that the formats allow.
func FuzzAudio(f *testing.F) {
	f.Add("sizelength=13;indexlength=3;indexdeltalength=3;config=1408", []byte("\x00\x20\x00\x10\x00\x18abcde"))
	f.Add("sizelength=6;indexlength=2;indexdeltalength=2", []byte("\x00\x08\x0cabc"))
	f.Fuzz(func(t *testing.T, fmtp string, payload []byte) {
		if d, err := OpusDuration(payload); err == nil && (d <= 0 || d > 120*time.Millisecond) {
			t.Fatalf("an Opus packet of %v", d)
		}
		if u, a := DecodeULaw(nil, payload), DecodeALaw(nil, payload); len(u) != len(payload) ||
			len(a) != len(payload) {
			t.Fatal("samples are missing")
		}

		aac, err := ParseAAC(fmtp)
		if err != nil {
			return
		}
		frames, rest, size, err := aac.Frames(payload)
		total := len(rest)
		for _, frame := range frames {
			total += len(frame)
		}

		if err == nil && (total > len(payload) || len(frames) > maxAudioFrames || size > 0 && len(rest) >= size) {
			t.Fatalf("%d bytes of %d, %d of %d", total, len(payload), len(rest), size)
		}
	})
}

// No accepted URL breaks a request or shows its password.
func FuzzTarget(f *testing.F) {
	f.Add("rtsp://u:correcthorse@cam/a?b#c", "rtsp://other/x")
	f.Add("RTSPS://[fe80::1%25eth0]:99/", "/y")
	f.Fuzz(func(t *testing.T, raw, location string) {
		to, err := parseTarget(raw)
		if err != nil {
			return
		}

		// said is the rest of the URL, which may happen to contain the password's text.
		check := func(to target, said string) {
			line := string(appendRequest(nil, request{method: "OPTIONS", url: to.url}, 1))
			if strings.Count(line, "\r\n") != 4 || len(strings.Fields(strings.SplitN(line, "\r\n", 2)[0])) != 3 {
				t.Fatalf("a request in pieces: %q", line)
			}
			before, _, ok := strings.Cut(to.url, "@")
			ours := len(to.password) > 3 && !strings.Contains(said, to.password)
			if ok && ours && strings.Contains(before, to.password) {
				t.Fatalf("%q shows a password", to.url)
			}
		}

		_, path, _ := strings.Cut(raw, "@")
		check(to, path)
		if next, err := to.redirect(location); err == nil {
			check(next, path+location) // a redirection may keep the path
			if next.has && next.address != to.address && !strings.EqualFold(next.address, to.address) {
				t.Fatalf("credentials of %s go to %s", to.address, next.address)
			}
		}
	})
}
