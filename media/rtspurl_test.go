package media

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/peephole-cam/peephole/media/rtsp/rtsptest"
	"github.com/peephole-cam/peephole/redact"
	"github.com/peephole-cam/peephole/test/selfsigned"
)

// Passwords with any visible character work, encoded or not.
func TestPasswordsAsPeopleTypeThem(t *testing.T) {
	units := nals(t, "H264", "rtsp/testdata/slices.h264")
	for _, password := range []string{
		`^"<>[]{}|` + "`\\" + `'`, "gr\u00fc\u00dfe", "a!$&()*+,;=:~b", "half%40encoded", "%25", "plain", "",
		"a b", "100%", "%zz", "p@ss@word", "hash#tag", "why?", "x/y", "x/34?#", "\u65e5\u672c", "\u20ac",
	} {
		want := password
		if decoded, err := url.PathUnescape(password); err == nil {
			want = decoded
		}
		camera := rtsptest.New(t, rtsptest.Options{
			Units: units,
			FPS:   15,
			Auth:  &rtsptest.Auth{User: "admin", Password: want, Algorithm: "MD5", QOP: "auth"},
		})
		feed := runFeed(t, camera.URL("admin:"+password+"@"), Opener{}, FeedOptions{})
		feed.await(t, "live with "+password, isLive)
	}
}

func TestInputsAsPeopleTypeThem(t *testing.T) {
	for _, row := range []struct{ name, url string }{
		{"RTSP://cam/Live", "rtsp://cam/Live"},
		{"rtspS://u:p@cam/x", "rtsps://u:p@cam/x"},
		{" rtsp://cam/x\t", "rtsp://cam/x"},
		{"Http://cam:8080/x?y=z", "http://cam:8080/x?y=z"},
		{"rtsp://[fe80::1%eth0]:8554/x", "rtsp://[fe80::1%25eth0]:8554/x"},
		{"rtsp://u:p@[fe80::1%25eth0]/x", "rtsp://u:p@[fe80::1%25eth0]/x"},
		{"rtsp://[::1]/a@b", "rtsp://[::1]/a@b"},
		{"rtsp://192.0.2.1:554/a@b", "rtsp://192.0.2.1:554/a@b"},
		{`rtsp://cam/it's "live"?a=<b>`, "rtsp://cam/it%27s%20%22live%22?a=%3Cb%3E"},
		{"rtsp://cam/100%/%41", "rtsp://cam/100%25/%41"},
		{"rtsp://u:p^w@cam/x", "rtsp://u:p%5Ew@cam/x"},
		{"rtsp://u:p@w@cam/x", "rtsp://u:p%40w@cam/x"},
		{"rtsp://u:p w@cam/x", "rtsp://u:p%20w@cam/x"},
		{"rtsp://u:p%w@cam/x", "rtsp://u:p%25w@cam/x"},
		{"rtsp://u:p#w@cam/x", "rtsp://u:p%23w@cam/x"},
		{"rtsp://u:p/w@cam/x", "rtsp://u:p%2Fw@cam/x"},
		{"rtsp://u:p/@w@cam/x", "rtsp://u:p%2F%40w@cam/x"},
		{"rtsp://u:p?w@[::1]:554/x", "rtsp://u:p%3Fw@[::1]:554/x"},
		{"rtsp://u:p:w@cam", "rtsp://u:p:w@cam"},
		{"rtsp://token@cam/x", "rtsp://token@cam/x"},
		{"rtsp://@cam/x", "rtsp://cam/x"},
		{"rtsp://t\u00fcr.example/x", "rtsp://t\u00fcr.example/x"},
	} {
		if in, err := parseInput(row.name); err != nil || in.url != row.url {
			t.Errorf("%s: %q, %v; want %q", row.name, in.url, err, row.url)
		}
	}
}

func TestHintNamesOnlyTheAmbiguousCharacter(t *testing.T) {
	for _, row := range []struct{ name, says string }{
		{"rtsp://admin:12/34@cam/live",
			"if it contains a /, write %2F instead; if not, write %40 for the @ in the path"},
		{"rtsp://admin:12?34@cam/live", "if it contains a ?, write %3F instead;"},
		{"rtsp://u:p@ss/w@cam/live", "if it contains a /, write %2F instead;"},
		{"rtsp://admin:/secret@cam/live", "if it contains a /, write %2F instead;"},
		{"rtsp://u:secret/b@cam/c@d", "if it contains a /, write %2F instead;"},
		{"rtsp://cam/live#1", "write %23 instead"},
		{"rtsp://cam/live # the door", "write %23 instead, and put comments on a line of their own"},
		{"rtsp://u:p@cam'/x", `there is a '\'' where the host should be`},
		{"rtsp://u:p@ cam/x", `there is a ' ' where the host should be`},
		{`rtsp://cam\live`, `there is a '\\' where the host should be`},
		{"rtsp://u:p\u200bw@cam/x", "the URL contains a line break or another invisible character: type it again"},
		{"rtsp://u:p\x00w@cam/x", "invisible character"},
		{"rtsp://fe80::1/x", "needs brackets: rtsp://[ADDRESS]"},
		{"rtsp://u:p@fe80::1%eth0/x", "needs brackets: rtsp://[ADDRESS]"},
		{"rtsp://[cam]/x", "there is a '[' where"},
		{"rtsp://[::g]/x", "there is a '[' where"},
		{"rtsp://[1::2::3]/x", "no IPv6 address"},
		{"rtsp://cam:0/x", "the port after the : is not a number from 1 to 65535"},
		{"rtsp://cam\xff/x", "there is a '\ufffd' where the host should be"},
		{"rtsp://cam:65536/x", "the port after the : is not a number from 1 to 65535"},
		{"rtsp://admin:secret/x", "if it is a password, the @ and the host are missing"},
		{"rtsp://u:secret@/x", "names no host"},
		{"rtsp://", "names no host"},
	} {
		_, err := parseInput(row.name)
		if !errors.Is(err, ErrInput) || !strings.Contains(err.Error(), row.says) ||
			strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v; want %q", row.name, err, row.says)
		}
	}
}

// A missing scheme is guessed, without showing the secrets in the name.
func TestMissingSchemeIsGuessed(t *testing.T) {
	for _, row := range []struct{ name, says string }{
		{"admin:hunter2@127.0.0.1/live", "did you mean rtsp://admin:…@127.0.0.1/…?"},
		{"admin:hunter2@127.0.0.1", "did you mean rtsp://admin:…@127.0.0.1?"},
		{"admin:hun/ter2@cam:554/live", "did you mean rtsp://admin:…@cam:554/…?"},
		{"//admin:hunter2@cam/live", "did you mean rtsp://admin:…@cam/…?"},
		{"hunter2@cam/live", "did you mean rtsp://…@cam/…?"},
		{"192.0.2.1/hunter2", "did you mean rtsp://192.0.2.1/…?"},
		{"[fe80::1%eth0]:554/live", "did you mean rtsp://[fe80::1%eth0]:554/…?"},
		{"cam:8554/live", "did you mean rtsp://cam:8554/…?"},
		{"rtsp:/admin:hunter2@cam/live", "did you mean rtsp://admin:…@cam/…?"},
		{"RTSPS:admin:hunter2@cam/live", "did you mean rtsps://…@cam/…?"},
		{"rtsp:/hunter2/x@cam", "open input rtsp:redacted@cam: no such file"}, // hunter2 may be the host
		{"rtsp:/hunter2:1://@cam", "parse input: what is before the :// is no scheme"},
		{`rtsp:\\cam\live`, "did you mean rtsp://cam/…?"},
		{"rstp://admin:hunter2@cam/live", "parse input: did you mean rtsp://admin:…@cam/…?"},
		{"nowhere.mp4", "open input nowhere.mp4: no such file or directory"},
		{"nowhere/hunter.mp4", "open input nowhere/hunter.mp4: no such file or directory"},
	} {
		_, err := Open(t.Context(), row.name)
		said := redact.Text(fmt.Sprint(err))
		if !strings.Contains(said, row.says) || strings.Contains(said, "hunter2") {
			t.Errorf("%s: %s; want %q", row.name, said, row.says)
		}
	}
}

// The error of a name that lacks its scheme brings the whole URL, which Open reads, and prints nothing of its secrets.
func TestGuessBringsTheURL(t *testing.T) {
	for name, want := range map[string]string{
		"admin:hunter2@127.0.0.1/live":      "rtsp://admin:hunter2@127.0.0.1/live",
		" admin:hun/ter2@cam:554/live":      "rtsp://admin:hun/ter2@cam:554/live",
		`//admin:hunter2\@cam\live`:         `rtsp://admin:hunter2\@cam/live`,
		"cam:8554/hunter2":                  "rtsp://cam:8554/hunter2",
		"RTSPS:admin:hunter2@cam/live":      "rtsps://admin:hunter2@cam/live",
		"rstp://admin:hunter2@cam/live":     "rtsp://admin:hunter2@cam/live",
		"test:hunter2@cam/live":             "rtsp://test:hunter2@cam/live",
		"[fe80::1%eth0]:554/hunter2?user=x": "rtsp://[fe80::1%eth0]:554/hunter2?user=x",
	} {
		_, err := Open(t.Context(), name)
		var guess *GuessError
		if !errors.As(err, &guess) {
			t.Errorf("%s: %v", name, err)
			continue
		}

		if guess.URL() != want || !strings.Contains(err.Error(), "did you mean "+guess.Shown+"?") {
			t.Errorf("%s: guessed %s, shown as %s", name, guess.URL(), guess.Shown)
		}
		if _, err := Open(t.Context(), guess.URL()); err != nil {
			t.Errorf("%s: what was guessed is refused: %v", name, err)
		}
		if shown := redact.Text(guess.Shown); shown != guess.Shown {
			t.Errorf("%s: shown as %s", name, shown)
		}
		if said := fmt.Sprintf("%v %+v %#v", guess, *guess, *guess); strings.Contains(said, "hunter") {
			t.Errorf("%s: printed as %s", name, said)
		}
	}
}

func TestExistingFileIsOpenedWhateverItsName(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, name := range []string{"admin:x@cam.h264", "192.0.2.1", "a#b.h264", "rtsp:x.264", " film .h264"} {
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		in, err := parseInput(name)
		if err != nil || in.kind != inputFile || in.path != name || findFile(in) != nil {
			t.Errorf("%q: %+v, %v, %v", name, in, err, findFile(in))
		}
	}
}

// A slash ends the host, so a password with a slash is read as a host name that does not exist.
func TestUnknownHostHintsAtASlashInThePassword(t *testing.T) {
	opener := Opener{dial: func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.DNSError{Name: "admin.invalid", IsNotFound: true}
	}}
	source, err := opener.Open(t.Context(), "rtsp://admin.invalid/34@127.0.0.1/live")
	if err != nil {
		t.Fatal(err)
	}

	err = source.Run(t.Context(), func(AccessUnit) {})
	if !strings.HasSuffix(err.Error(),
		"the camera's host name is not known: if the password contains a /, write %2F instead") {
		t.Error(err)
	}
}

// The log says that the certificate of an rtsps:// camera is trusted unseen, and has its hash but no password.
func TestUnverifiedCertificateIsLogged(t *testing.T) {
	certificate := selfsigned.New(t, "camera")
	camera := rtsptest.New(t, rtsptest.Options{
		FPS:   15,
		Units: nals(t, "H264", "rtsp/testdata/slices.h264"),
		TLS:   &tls.Config{Certificates: []tls.Certificate{certificate}},
	})

	var log bytes.Buffer
	opener := Opener{Log: slog.New(slog.NewTextHandler(&log, nil))}
	source, err := opener.Open(t.Context(), strings.Replace(camera.URL("admin:hunter2@"), "rtsp:", "rtsps:", 1))
	if err != nil {
		t.Fatal(err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if err := source.Run(ctx, func(u AccessUnit) {
		if len(u.Data) > 0 {
			cancel()
		}
	}); ctx.Err() == nil {
		t.Fatal(err)
	}

	const want = "the camera's certificate cannot be verified: trusting it until this program ends"
	hash := fmt.Sprintf("sha256=%x", sha256.Sum256(certificate.Certificate[0]))
	if said := log.String(); strings.Count(said, want) != 1 || !strings.Contains(said, hash) ||
		strings.Contains(said, "hunter2") {
		t.Errorf("logged %s", said)
	}
}

// A percent escape in a password is decoded. If the password was meant literally, the error says how to write it.
func TestRefusalHintsAtAPercentInThePassword(t *testing.T) {
	camera := rtsptest.New(t, rtsptest.Options{
		Units: nals(t, "H264", "rtsp/testdata/slices.h264"),
		Auth:  &rtsptest.Auth{User: "admin", Password: "12%34", Algorithm: "MD5", QOP: "auth"},
	})
	for login, want := range map[string]string{
		"admin:12%34@": "the camera refused the user name or the password: " +
			"if the password contains a %, write %25 instead",
		"admin:123@":     "the camera refused the user name or the password",
		"admin:12%2534@": "",
	} {
		feed := runFeed(t, camera.URL(login), Opener{}, FeedOptions{})
		s := feed.await(t, "judged", func(s State) bool { return s.Live || s.Restarts > 0 })
		if want == "" && !s.Live || want != "" && !strings.HasSuffix(s.String(), ": "+want) {
			t.Errorf("%s: %q, want %q", login, s, want)
		}
	}
}
