package redact

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"strings"
	"testing"
)

func TestTextCutsSecrets(t *testing.T) {
	const (
		payload    = "AQGgRd_HKmDVClBueu0qpGpCMHZruFK3TwyD5jeLgDhm_lOKBWHZ8i5vhOpSiIZm3ZVrBJ-ATZiV_Q"
		credential = "q0tm/FzVXQvN+8u5T0a7E1s9yq3dXc2bRkPj6LhGxwA="
	)
	for _, tt := range []struct{ name, text, want string }{
		{"userinfo", "open rtsp://admin:SECRET@cam/1", "open rtsp://cam/…"},
		{"@ in a password", "open rtsp://u:SEC@RET@cam:554/1", "open rtsp://cam:554/…"},
		{"/ in a password", "open rtsp://u:SEC/RET@cam/1: x", "open rtsp://" + Mark + " x"},
		{"? and # in a password", "open rtsp://u:S?EC#RET@cam", "open rtsp://" + Mark},
		{": in a password", "open rtsp://u:S:EC:RET@cam", "open rtsp://cam"},
		{"a space in a password", "open rtsp://u:SEC RET@cam: refused", "open rtsp://cam: refused"},
		{"quotes in a password", `open "rtsp://u:SEC'RE"T@cam/1": refused`, `open "rtsp://cam/…": refused`},
		{"a URL in a password", "open rtsp://u:http://SECRET@cam", "open rtsp://" + Mark},
		{"a token for a user", "open rtsp://SECRET@cam", "open rtsp://cam"},
		{"two cameras", "rtsp://u:SECRET@a/1, rtsp://u:SECRET@b/2", "rtsp://" + Mark},
		{"an IPv6 camera", "rtsp://u:SECRET@[2001:db8::1]:554/x", "rtsp://[2001:db8::1]:554/…"},
		{"an international name", "rtsp://u:SECRET@tür.example/x", "rtsp://tür.example/…"},
		{"no host", "rtsp://u:SECRET@", "rtsp://"},
		{"cut off", "opening rtsp://u:SECRET", "opening rtsp://" + Mark},
		{"upper case", "RTSP://U:SECRET@CAM/1", "RTSP://CAM/…"},
		{"no scheme", "dial admin:SECRET@cam:554: refused", "dial admin:" + Mark + "@cam:554: refused"},
		{"no scheme, with prose", "camera: dial admin:SEC RET@cam", "camera: dial admin:" + Mark + "@cam"},
		{"no scheme, a space first", "dial admin: SECRET@cam", "dial admin:" + Mark + "@cam"},
		{"escaped userinfo", "rtsp://u:p%40SECRET%2f@cam/1", "rtsp://cam/…"},
		{"a URL in a URL", "GET /?next=rtsp%3A%2F%2Fu%3aSECRET%40cam%2F1", "GET /?next=rtsp://cam/…"},
		{"escaped twice", "rtsp%253A%252F%252Fu%253ASECRET%2540cam", "rtsp://cam"},
		{"an escape of an escape's parts", "rtsp://u%3%41SECRET%4%30cam", "rtsp://" + Mark},
		{"a query", "get http://cam/snap?user=u&password=SECRET", "get http://cam/…"},
		{"@ in a query", "get http://cam/snap?password=SEC@RET", "get http://" + Mark},
		{"an escaped @ in a query", "get http://cam/snap?password=SEC%40RET", "get http://cam/…"},
		{"a query alone", "/snap?user=u&Password=SECRET&n=1", "/snap?user=u&Password=" + Mark + "&n=1"},
		{"an escaped query", "/snap?pass%77ord=SEC%26RET%20MORE&n=1", "/snap?password=" + Mark + "&n=1"},
		{"a quoted value", `passwd = "SEC RET" user=x`, `passwd = "` + Mark + `" user=x`},
		{"JSON", `{"username":"u","credential":"SECRET"}`, `{"username":"u","credential":"` + Mark + `"}`},
		{"JSON in a string", `"{\"secret\":\"SECRET\",\"n\":1}"`, `"{\"secret\":\"` + Mark + `\",\"n\":1}"`},
		{"a struct", "{User:u Password:SECRET}", "{User:u Password:" + Mark},
		{"SDP", "a=ice-ufrag:x\r\na=ice-pwd:SECRET\r\nm=video", "a=ice-ufrag:x\r\na=ice-pwd:" + Mark + "\r\nm=video"},
		{"a header", "Proxy-Authorization: Basic SECRET==\r\nHost: x", "Proxy-Authorization: " + Mark + "\r\nHost: x"},
		{"Digest", `authorization: Digest username="u", response="SECRET"`, "authorization: " + Mark},
		{"a pairing link", "scan https://relay.example/pair#SECRET", "scan https://relay.example/…"},
		{"a pairing link without scheme", "relay.example/pair#SECRET", "relay.example/pair#" + Mark},
		{"an escaped pairing link", "GET /pair%23SECRET HTTP/1.1", "GET /pair#" + Mark + " HTTP/1.1"},
		{"an escaped pairing link, twice", "GET /p%61ir%252523SECRET HTTP/1.1", "GET /pair#" + Mark + " HTTP/1.1"},
		{"a code without its URL", "unknown argument \"" + payload + "\"", "unknown argument \"" + Mark + "\""},
		{"half a code", "x " + payload[40:], "x " + Mark},
		{"a relay's credential", "401 for " + credential, "401 for " + Mark},
		{"behind a hidden login", "rtsp://u:…@cam/, rtsp://u:SECRET@cam", "rtsp://" + Mark},
		{"before a hidden login", "rtsp://u:SECRET@cam/, rtsp://u:…@cam", "rtsp://" + Mark},
		{"the path behind a hidden login", "did you mean rtsp://u:…@cam/SECRET?", "did you mean rtsp://u:…@cam/…?"},
		{"TURN with both", "turn:u:SECRET@relay:3478", "turn:" + Mark + "@relay:3478"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := Text(tt.text); got != tt.want {
				t.Errorf("%q became %q, want %q", tt.text, got, tt.want)
			}
			if again := Text(tt.want); again != tt.want {
				t.Errorf("%q became %q when it was cut again", tt.want, again)
			}
		})
	}
}

func TestTextKeepsTheRest(t *testing.T) {
	for _, text := range []string{
		"",
		"dial tcp 192.0.2.10:554: connect: connection refused",
		"no video yet: read rtsp://192.0.2.10/…: connection refused",
		"turn:127.0.0.1:48359?transport=udp turn:relay.example:3478?transport=tcp",
		"http://127.0.0.1:42431",
		"[rtsp @ 0x55c8f4b0c2c0] method DESCRIBE failed: 401 Unauthorized",
		"did you mean rtsp://admin:…@127.0.0.1?",
		"did you mean rtsp://admin:…@[fe80::1%eth0]:554/…? A % is %25",
		"did you mean rtsp://…@cam/…?",
		"the camera wants a user name and a password: rtsp://USER:PASSWORD@HOST/…",
		"open input /dev/v4l/by-id/usb-046d_HD_Pro_Webcam_C920_8F1A2B3C-video-index0: no such device",
		"[tcp @ 0x1] first: refused; [tcp @ 0x2] second: refused",
		"read key file: /var/lib/peephole-front/identity.key: file holds secrets and is readable by others: " +
			"run chmod 600 on it",
		"read pair /var/lib/p/pairs/" + strings.Repeat("0f", 32) + ".json: damaged pair file",
		"ticket: not a ticket: ask the relay's operator for a new one",
		"100 % of peephole-camera-at-the-front-door, 20 %4",
		"parse input: not a URL with a host (in a password, write %25, %40, %2F, %23 and %3F for % @ / # and ?)",
		"want https://HOST or https://HOST:PORT (http:// only for a relay on this machine)",
		"say -relay https://HOST, or -relay http://127.0.0.1:7880 for one on this machine",
		"-public-url https://HOST[:PORT]",
		"-public-url \"https://relay.example/\": want https://, with no path",
		"want rtsp://…, rtsps://…, a file, test or test:WIDTHxHEIGHT@FPS",
		"/tmp/TestRelayServesOnceMore3185678901/001/relay-state: no space left on device",
	} {
		if got := Text(text); got != text {
			t.Errorf("%q became %q", text, got)
		}
	}
}

// The head and the tail of a planted secret. Neither occurs by chance, so that even part of a secret is noticed.
const head, tail = "ZQxj7k", "W9vKp2"

// plants put a secret where secrets have been seen.
var plants = []func(secret string) string{
	func(s string) string { return "rtsp://user:" + s + "@192.0.2.1:554/live" },
	func(s string) string { return "rtsp://" + s + "@cam.example" },
	func(s string) string { return "user:" + s + "@192.0.2.1" },
	func(s string) string { return "RTSPS://u:" + url.QueryEscape(s) + "@[2001:db8::1]/x" },
	func(s string) string { return "http://cam/?n=1&password=" + url.QueryEscape(s) },
	func(s string) string { return "/snap?token=" + url.QueryEscape(s) + "&n=1" },
	func(s string) string { return "credential=" + url.PathEscape(url.QueryEscape(s)) },
	func(s string) string { return url.QueryEscape("rtsp://u:" + s + "@cam/live") },
	func(s string) string {
		return url.QueryEscape(url.QueryEscape("https://relay.example/pair#" + coded(s)))
	},
	func(s string) string { return "https://relay.example/pair#" + coded(s) },
	func(s string) string { return "relay.example/pair%23" + coded(s) },
	func(s string) string { return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(s)) },
	func(s string) string { b, _ := json.Marshal(map[string]string{"secret": coded(s)}); return string(b) },
	func(s string) string { return " " + secretOf(s) + " " },
}

func coded(s string) string { return head + base64.RawURLEncoding.EncodeToString([]byte(s)) + tail }

// secretOf returns a key of 32 bytes in base64url, with head and tail.
func secretOf(s string) string {
	sum := sha256.Sum256([]byte(s))
	return head + base64.RawURLEncoding.EncodeToString(sum[:])[6:37] + tail
}

// FuzzText plants a secret between other texts: no part of it may come out, not even when the result is cut again.
func FuzzText(f *testing.F) {
	for n := range plants {
		f.Add(uint8(n), "open ", "s3cret", ": refused")
	}
	f.Fuzz(func(t *testing.T, plant uint8, before, middle, after string) {
		if strings.Contains(before+middle+after, head) || strings.Contains(before+middle+after, tail) {
			return
		}
		text := before + " " + plants[int(plant)%len(plants)](head+middle+tail) + " " + after
		got := Text(text)
		if strings.Contains(got, head) || strings.Contains(got, tail) {
			t.Errorf("%q became %q", text, got)
		}

		if again := Text(got); strings.Contains(again, head) || strings.Contains(again, tail) {
			t.Errorf("%q became %q when it was cut again", got, again)
		}
	})
}
