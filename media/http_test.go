package media

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// httpCamera serves an endless stream to clients that have the password.
func httpCamera(t *testing.T, password string) http.HandlerFunc {
	t.Helper()
	ffmpeg := need(t, "ffmpeg")
	film := filepath.Join(t.TempDir(), "film.ts")
	out, err := exec.Command(ffmpeg, "-v", "error", "-r", "10", "-i", "testdata/main.h264", "-c", "copy",
		film).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}

	return func(w http.ResponseWriter, r *http.Request) {
		if _, got, ok := r.BasicAuth(); !ok || got != password {
			w.Header().Set("WWW-Authenticate", `Basic realm="camera"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		http.ServeFile(w, r, film)
	}
}

func TestHTTPInputIsRead(t *testing.T) {
	const password = "p/a'ss wörd%"
	server := httptest.NewServer(httpCamera(t, password))
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")

	t.Run("the right password", func(t *testing.T) {
		feed := runFeed(t, "http://admin:"+password+"@"+host+"/live.ts", Opener{}, FeedOptions{})
		check(t, collect(t, feed.Subscribe(), 15))
	})
	t.Run("a wrong password", func(t *testing.T) {
		feed := runFeed(t, "HTTP://admin:wrong@"+host+"/live.ts", Opener{}, FeedOptions{})
		s := feed.await(t, "refused", func(s State) bool { return s.Restarts > 0 })
		want := "no video yet: read http://" + host + "/…: the camera refused the user name or the password"
		if s.String() != want {
			t.Errorf("%q, want %q", s, want)
		}
	})
}

// A password is not sent to a server whose certificate is not trusted.
func TestHTTPSInputNeedsATrustedCertificate(t *testing.T) {
	asked := make(chan string, 10)
	camera := httpCamera(t, "secret")
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.URL.Path
		camera(w, r)
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()

	url := strings.Replace(server.URL, "://", "://admin:secret@", 1) + "/live.ts"
	s := runFeed(t, url, Opener{}, FeedOptions{}).await(t, "refused", func(s State) bool { return s.Restarts > 0 })
	if len(asked) > 0 || !strings.Contains(s.String(), untrusted) {
		t.Errorf("%d requests; %q", len(asked), s)
	}
}

func TestURLIsInNoArgument(t *testing.T) {
	for _, name := range []string{"rtsp://u:secret@cam/x", "http://u:secret@cam/x", "https://u:secret@cam/x"} {
		in, err := parseInput(name)
		if err != nil {
			t.Fatal(err)
		}
		args, stdin := in.ffmpegArgs(Opener{Transcode: true})
		if strings.Contains(strings.Join(args, " "), "secret") || !strings.Contains(stdin, "secret") {
			t.Errorf("ffmpeg %q with %q on its standard input", args, stdin)
		}
	}
}
