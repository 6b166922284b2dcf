package e2e

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pion/stun/v3"

	"github.com/peephole-cam/peephole/signaling"
	"github.com/peephole-cam/peephole/test/reserve"
)

// TRENDnet, 2012: the pictures of nearly 700 homes were at addresses that asked for no password. Eufy, 2022: streams
// that were advertised as end-to-end encrypted played in VLC at an address of the maker's cloud. Here a stranger who
// knows a camera's names asks for its picture at every address there is, and at those where others had it, while the
// picture passes through the relay.
func TestIncidentVideoByURLAlone(t *testing.T) {
	t.Parallel()
	relay, url := startRelayAt(t, reserve.For(t))
	sim := start(t, "camera-sim", "-relay", url, "-state", t.TempDir())
	v := newTerminal(t)
	v.pair(t, sim.line(t, "pair sim-0 "))
	file := filepath.Join(t.TempDir(), "relayed.h264")
	watching := start(t, "viewer", append(v.flags, "watch", "sim-0", "-json", "-relay-only", "-o", file)...)
	eventually(t, "the picture passes through the relay", func() bool { return size(file) > 40_000 })
	before := size(file)

	t.Run("HTTP", func(t *testing.T) { askHTTP(t, url, namesOf(t, v)) })
	t.Run("other protocols", func(t *testing.T) { askOthers(t, relay, url) })
	t.Run("the camera listens nowhere", func(t *testing.T) {
		if at := listening(t, sim.Process.Pid); len(at) != 0 {
			t.Errorf("the camera listens at %q", at)
		}
		if at := listening(t, relay.Process.Pid); len(at) < 2 {
			t.Errorf("the relay listens at %q: the test proves nothing", at)
		}
	})

	eventually(t, "the picture has passed all the while", func() bool { return size(file) > before })
	watching.stop()
	if w := (outcome{stdout: <-watching.lines}).parse(t); w.Path != "relay" || w.Frames == 0 || w.Rejected != 0 {
		t.Errorf("%+v: not a picture through the relay, undisturbed by strangers", w)
	}
}

// namesOf returns all names of a viewer's one camera, and of what represents it at the relay, in every spelling.
func namesOf(t *testing.T, v terminal) (names []string) {
	t.Helper()
	var cameras []struct{ Name, ID string }
	if err := json.Unmarshal([]byte(v.ok(t, "list", "-json")), &cameras); err != nil || len(cameras) != 1 {
		t.Fatalf("list -json: %v, %v", cameras, err)
	}
	names = []string{"", "0", "1", cameras[0].Name, cameras[0].ID}
	state := watcher{state: v.state()}
	fingerprint := record(t, state.state).Peer.Fingerprint()
	for _, id := range append(inboxesOf(t, state), fingerprint) {
		names = append(names, hex.EncodeToString(id[:]), base64.RawURLEncoding.EncodeToString(id[:]))
	}

	return names
}

// places are where a picture could be, with a name in each.
var places = []string{
	"/%s", "/%s.jpg", "/%s.mp4", "/%s.h264", "/%s.m3u8", "/%s/snapshot.jpg", "/%s/thumbnail", "/snapshot/%s",
	"/snapshot.jpg?camera=%s", "/image.jpg?id=%s",
	"/stream/%s", "/stream?id=%s", "/live/%s", "/live/%s.m3u8", "/hls/%s/index.m3u8", "/dash/%s.mpd", "/rtsp/%s",
	"/webrtc/%s", "/whep/%s", "/video/%s",
	"/video.mjpg?camera=%s", "/mjpeg/%s", "/anony/mjpg.cgi?%s", "/cgi-bin/mjpg.cgi?%s", "/thumbnails/%s", "/events/%s",
	"/clips/%s", "/still/%s",
	"/api/cameras/%s", "/api/v1/cameras/%s/stream", "/v1/cameras/%s", "/v1/still/%s", "/v1/signal/%s",
	"/v1/signal?name=%s", "/mailbox/%s", "/v1/mailbox/%s",
	"/pair/%s", "/pair?%s", "/assets/%s", "/debug/pprof/%s", "/metrics/%s", "/.well-known/%s", "/%%2e%%2e/%s",
}

// askHTTP: every answer is a file of the page, a number about the relay, or a refusal.
func askHTTP(t *testing.T, url string, names []string) {
	page := make(map[string]bool)
	for _, path := range pagePaths(t) {
		status, _, body := fetch(t, url+path, "")
		if status != http.StatusOK || len(body) == 0 {
			t.Fatalf("%s: status %d, %d bytes", path, status, len(body))
		}
		page[string(body)] = true
	}

	client := &http.Client{Transport: &http.Transport{}, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}
	defer client.CloseIdleConnections()
	asked, refused := 0, 0
	ask := func(method, path string) {
		status, header, body := askOnce(t, client, method, url+path)
		asked++
		kind := header.Get("Content-Type")
		switch {
		case status == http.StatusOK && page[string(body)],
			status == http.StatusOK && method == http.MethodHead && len(body) == 0:
		case status == http.StatusOK && (path == "/metrics" || path == "/healthz" || path == "/readyz") &&
			strings.HasPrefix(kind, "text/plain"):
			if path == "/metrics" && !numbers.Match(body) {
				t.Errorf("/metrics says more than numbers:\n%s", body)
			}
		case status >= 300 && len(body) < 200 && strings.HasPrefix(kind, "text/plain") ||
			status == http.StatusMovedPermanently || status == http.StatusTemporaryRedirect:
			refused++
		default:
			t.Errorf("%s %s: status %d, %s, %d bytes: what is this?", method, path, status, kind, len(body))
		}
	}

	for _, method := range []string{"GET", "HEAD", "POST", "PUT", "OPTIONS", "PROPFIND", "DESCRIBE"} {
		for _, path := range []string{"/", "/metrics", "/healthz", "/readyz", signaling.Path, "/snapshot.jpg",
			"/stream", "/live.m3u8"} {
			ask(method, path)
		}
	}

	for _, place := range places {
		for _, name := range names {
			ask("GET", fmt.Sprintf(place, name))
		}
	}

	if asked < 400 || refused < asked/2 {
		t.Errorf("%d addresses asked, %d refused: the test proves nothing", asked, refused)
	}
}

// numbers matches what /metrics may contain: names, labels of our own, and numbers.
var numbers = regexp.MustCompile(`^(?:#[^\n]*\n|` +
	`[a-z_]+(?:\{[a-z_]+="[a-zA-Z0-9_.+]*"(?:,[a-z_]+="[a-zA-Z0-9_.+]*")*\})? [-+0-9.eInfNa]+\n)+$`)

func askOnce(t *testing.T, client *http.Client, method, url string) (status int, header http.Header, body []byte) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		t.Fatal(err)
	}

	answer, err := client.Do(r)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	defer answer.Body.Close()

	if body, err = io.ReadAll(answer.Body); err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, answer.Header, body
}

// turnAt finds the addresses at which a relay command's TURN listens.
var turnAt = regexp.MustCompile(`turn:([0-9.]+:[0-9]+)\?transport=udp turn:([0-9.]+:[0-9]+)\?transport=tcp`)

// askOthers: players, and TURN clients without credentials, get an error or nothing.
func askOthers(t *testing.T, relay *process, url string) {
	at := turnAt.FindStringSubmatch(relay.said())
	if at == nil {
		t.Fatalf("the relay does not say where TURN is:\n%s", relay.said())
	}
	front := strings.TrimPrefix(url, "http://")
	for name, hello := range map[string]string{
		"RTSP": "DESCRIBE rtsp://" + front + "/sim-0 RTSP/1.0\r\nCSeq: 1\r\nAccept: application/sdp\r\n\r\n",
		"RTMP": "\x03" + strings.Repeat("\x00", 1536),
		"HTTP": "GET /sim-0 HTTP/1.0\r\n\r\n",
		"SRT":  "\x80\x00\x00\x00" + strings.Repeat("\x00", 60),
		"TURN": string(channelData),
	} {
		for _, port := range []string{front, at[2]} {
			answer := knock(t, port, hello)
			text := len(answer) == 0 || bytes.HasPrefix(answer, []byte("HTTP/1.1 400 ")) ||
				bytes.HasPrefix(answer, []byte("HTTP/1.0 404 ")) || bytes.HasPrefix(answer, []byte("HTTP/1.1 505 "))
			if !text || len(answer) > 1200 {
				t.Errorf("%s at %s: %d bytes, %.60q", name, port, len(answer), answer)
			}
		}
	}

	stranger := dialTURN(t, at[1], "127.0.0.2")
	nobody := signaling.Credentials{}
	for range 3 {
		if m := stranger.ask(stun.MethodAllocate, nobody, wantUDP); errorOf(m) != stun.CodeUnauthorized {
			t.Errorf("allocate without credentials: %v, want 401", m)
		}
		for _, packet := range [][]byte{channelData, sendIndication(t)} {
			if _, err := stranger.conn.Write(packet); err != nil {
				t.Fatal(err)
			}
		}
	}

	if stranger.other != 0 {
		t.Errorf("TURN sent %d packets to somebody without credentials", stranger.other)
	}
}

// channelData is a message on the first channel (RFC 8656, section 12.4).
var channelData = []byte{0x40, 0, 0, 4, 1, 2, 3, 4}

// sendIndication returns data for the first relayed address.
func sendIndication(t *testing.T) []byte {
	t.Helper()
	m, err := stun.Build(stun.TransactionID, stun.NewType(stun.MethodSend, stun.ClassIndication),
		// 198.18.0.1:49153
		stun.RawAttribute{Type: stun.AttrXORPeerAddress,
			Value: []byte{0, 1, 0x21 ^ 0xc0, 0x12 ^ 0x01, 0x21 ^ 198, 0x12 ^ 18, 0xa4, 0x42 ^ 1}},
		stun.RawAttribute{Type: stun.AttrData, Value: []byte("picture, please")})
	if err != nil {
		t.Fatal(err)
	}
	return m.Raw
}

// knock sends something to a TCP port and returns everything that it answers.
func knock(t *testing.T, port, hello string) []byte {
	t.Helper()
	conn, err := net.Dial("tcp", port)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()

	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, hello); err != nil {
		return nil // refused while we spoke
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		return nil
	}

	answer, err := io.ReadAll(conn)
	if os.IsTimeout(err) {
		t.Errorf("%s neither answers nor hangs up", port)
	}
	return answer
}

// listening returns where a process accepts TCP connections.
func listening(t *testing.T, pid int) (at []string) {
	t.Helper()
	dir := fmt.Sprintf("/proc/%d", pid)
	fds, err := os.ReadDir(dir + "/fd")
	if err != nil {
		missing(t, "the open files of our own processes: "+err.Error())
	}

	var sockets []string
	for _, fd := range fds {
		if to, err := os.Readlink(filepath.Join(dir, "fd", fd.Name())); err == nil &&
			strings.HasPrefix(to, "socket:[") {
			sockets = append(sockets, strings.TrimSuffix(strings.TrimPrefix(to, "socket:["), "]"))
		}
	}

	for _, table := range []string{"/net/tcp", "/net/tcp6"} {
		text, err := os.ReadFile(dir + table)
		if err != nil {
			missing(t, "the open sockets of our own processes: "+err.Error())
		}
		for line := range strings.Lines(string(text)) {
			const listen = "0A"
			if f := strings.Fields(line); len(f) > 9 && f[3] == listen && slices.Contains(sockets, f[9]) {
				at = append(at, f[1])
			}
		}
	}

	return at
}
