package rtsp

import (
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/peephole-cam/peephole/media/rtsp/rtsptest"
)

func TestCredentialsOpenTheStream(t *testing.T) {
	const user, password = `an "admin"`, `p@ss:w/ö\rd" `
	rows := []struct {
		name string
		auth rtsptest.Auth
	}{
		{"Basic", rtsptest.Auth{Algorithm: "Basic"}},
		{"Digest of RFC 2069", rtsptest.Auth{}},
		{"MD5", rtsptest.Auth{Algorithm: "MD5", QOP: "auth"}},
		{"SHA-256", rtsptest.Auth{Algorithm: "SHA-256", QOP: "auth-int,auth"}},
		{"SHA-256-sess", rtsptest.Auth{Algorithm: "SHA-256-sess", QOP: "auth"}},
		{"auth-int", rtsptest.Auth{Algorithm: "MD5", QOP: "auth-int"}},
		{"a nonce that goes stale", rtsptest.Auth{Algorithm: "MD5", QOP: "auth", Stale: 2}},
		{"a nonce that goes stale silently", rtsptest.Auth{Stale: 3, Shy: true}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			row.auth.User, row.auth.Password = user, password
			units := clip(t)
			camera := rtsptest.New(t, rtsptest.Options{Units: units, Auth: &row.auth})
			login := url.UserPassword(user, password).String() + "@"
			wantUnits(t, readUnits(t, newClient(t, Config{URL: camera.URL(login)}), 5), units)
			if n := len(camera.Requests()); row.auth.Stale == 0 && n > 6 {
				t.Errorf("%d requests: %q", n, camera.Requests())
			}

			wrong := url.UserPassword(user, "wr0ng").String() + "@"
			err := newClient(t, Config{URL: camera.URL(wrong)}).Run(inTime(t), func(Unit) { t.Error("an access unit") })
			if !errors.Is(err, ErrCredentials) || strings.Contains(err.Error(), "wr0ng") {
				t.Errorf("a wrong password: %v", err)
			}

			err = newClient(t, Config{URL: camera.URL("")}).Run(inTime(t), func(Unit) { t.Error("an access unit") })
			if !errors.Is(err, ErrNoCredentials) {
				t.Errorf("no password: %v", err)
			}
		})
	}
}

// The vectors are from RFC 7616, section 3.9.1, with the client nonce given there, and from RFC 2617, section 3.5.
func TestDigest(t *testing.T) {
	r := request{method: "GET", url: "/dir/index.html"}
	const field = `Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm=%, ` +
		`nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"`
	for algorithm, want := range map[string]string{
		"MD5":     "8ca523f5e9506fed4657c9700eebdbec",
		"SHA-256": "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
	} {
		a := authenticator{user: "Mufasa", password: "Circle of Life", has: true, count: 1}
		a.challenge = parseChallenge(strings.Replace(field, "%", algorithm, 1))
		line := a.digest(r, "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ")
		if !strings.Contains(line, `response="`+want+`"`) || !strings.Contains(line, "qop=auth, nc=00000001") ||
			!strings.Contains(line, `opaque="FQhe/`) || !strings.Contains(line, "algorithm="+algorithm) {
			t.Errorf("%s: %s", algorithm, line)
		}
	}
}

func TestStrongestSchemeIsChosen(t *testing.T) {
	h := header{"www-authenticate": {
		`Basic realm="a"`,
		`Digest realm="b", nonce="1", algorithm=MD5`,
		`Digest realm="c", nonce="2", algorithm=SHA-256`,
		`Digest realm="d", nonce="3", algorithm=SHA-512-256`,
		`Negotiate`,
	}}

	a := authenticator{has: true}
	if err := a.acceptChallenge(h, false); err != nil || a.challenge.realm != "c" {
		t.Errorf("chose %q, %v", a.challenge.realm, err)
	}
	unknown := header{"www-authenticate": {"Bearer x", "Digest algorithm=SHA3"}}
	if err := a.acceptChallenge(unknown, false); !errors.Is(err, ErrScheme) {
		t.Errorf("got %v", err)
	}
}

func TestCredentialsStayWithTheirHost(t *testing.T) {
	rows := []struct{ from, location, to string }{
		{"rtsp://u:p@cam/a", "rtsp://cam:554/b", "rtsp://cam:554/b u"},
		{"rtsp://u:p@cam/a", "/b?c", "rtsp://cam/b?c u"},
		{"rtsp://u:p@cam/a", "rtsp://CAM/b", "rtsp://CAM/b u"},
		{"rtsp://u:p@cam/a", "rtsp://other/b", "rtsp://other/b "},
		{"rtsp://u:p@cam/a", "rtsp://cam:8554/b", "rtsp://cam:8554/b "},
		{"rtsps://u:p@cam:554/a", "rtsp://cam/b", "rtsp://cam/b "},
		{"rtsp://u:p@cam/a", "rtsp://evil:x@cam/b", "rtsp://cam/b u"},
		{"rtsp://u:p@cam/a", "http://cam/b", ""},
		{"rtsp://u:p@cam/a", "rtsp:cam", ""},
		{"rtsp://u:p@cam/a", "rtsp://cam/%zz", ""},
	}
	for _, row := range rows {
		from, err := parseTarget(row.from)
		if err != nil {
			t.Fatal(err)
		}
		to, err := from.redirect(row.location)
		if row.to == "" {
			if !errors.Is(err, ErrRedirects) {
				t.Errorf("%q: %q, %v", row.location, to.url, err)
			}
			continue
		}

		if got := to.url + " " + to.user; err != nil || got != row.to || to.has != (to.user != "") {
			t.Errorf("%q: %q, %v; want %q", row.location, got, err, row.to)
		}
	}
}
