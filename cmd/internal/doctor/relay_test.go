package doctor

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/test/noleak"
	"github.com/peephole-cam/peephole/test/reserve"
	"github.com/peephole-cam/peephole/test/selfsigned"
	"github.com/peephole-cam/peephole/test/tcptest"
)

func TestMain(m *testing.M) { noleak.Main(m) }

// fake starts the HTTPS part of a relay that answers as handle does.
func fake(t *testing.T, certificate tls.Certificate, handle http.HandlerFunc) Relay {
	t.Helper()
	s := httptest.NewUnstartedServer(handle)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
	s.Config.ErrorLog = nil
	s.StartTLS()
	t.Cleanup(s.Close)
	roots := x509.NewCertPool()
	roots.AddCert(certificate.Leaf)

	return Relay{URL: s.URL, Trust: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS13}}
}

func says(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, body) }
}

const oneServer = `{"urls": ["turn:relay.example:5000?transport=udp"]}`

// httpsResult is what testing a relay's HTTPS finds.
type httpsResult struct {
	https, certificate, clock Verdict
	value, days, seconds      string
	text                      string // a part of the certificate's text
	said                      bool
}

// check tests a relay and compares the result with want.
func (want httpsResult) check(t *testing.T, r Relay) {
	t.Helper()
	c := r.contact(t.Context(), "")
	https, certificate, clock := c.checkHTTPS(), c.checkCertificate(time.Now()), c.checkClock()

	seconds := clock.Value
	near := map[string]string{"1": "0", "-1": "0", "301": "300", "299": "300", "-172799": "-172800",
		"-172801": "-172800", "-29": "-30", "-31": "-30"}
	if near[seconds] != "" {
		seconds = near[seconds] // the header has whole seconds
	}

	got := httpsResult{https.Verdict, certificate.Verdict, clock.Verdict, https.Value, certificate.Value, seconds,
		want.text, c.says}
	if got != want || !strings.Contains(certificate.Text, want.text) {
		t.Errorf("got %+v, %q\nwant %+v", got, certificate.Text, want)
	}
	if c.says && (len(c.servers) != 1 || c.servers[0].port != 5000) {
		t.Errorf("servers %+v", c.servers)
	}
	if !c.says && len(c.servers) != 4 {
		t.Errorf("servers %+v; want the usual ones", c.servers)
	}
}

// Faults of a relay's HTTPS are reported. Nothing that arrives under an untrusted certificate is believed.
func TestFaultsOfHTTPSAreReported(t *testing.T) {
	now := time.Now()
	good := selfsigned.New(t, "127.0.0.1")
	expired := selfsigned.Valid(t, "127.0.0.1", now.Add(-72*time.Hour), now.Add(-49*time.Hour))
	future := selfsigned.Valid(t, "127.0.0.1", now.Add(time.Hour), now.Add(49*time.Hour))
	soon := selfsigned.Valid(t, "127.0.0.1", now.Add(-time.Hour), now.Add(13*24*time.Hour))
	other := selfsigned.New(t, "other.example")
	broken := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(502) }
	redirect := func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://192.0.2.1/", http.StatusFound)
	}
	undated := func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Date"] = nil
		fmt.Fprint(w, oneServer)
	}
	type want = httpsResult

	for _, tt := range []struct {
		name        string
		certificate tls.Certificate
		handle      http.HandlerFunc
		want        want
	}{
		{"good", good, says(oneServer), want{OK, OK, OK, "", "89", "0", "valid for 89 more days", true}},
		{"an older relay", good, http.NotFound, want{Unknown, OK, OK, "old", "89", "0", "", false}},
		{"a proxy that is broken", good, broken, want{Bad, OK, OK, "502", "89", "0", "", false}},
		{"a page that leads elsewhere", good, redirect, want{Bad, OK, OK, "302", "89", "0", "", false}},
		{"nonsense", good, says("<html>"), want{OK, OK, OK, "", "89", "0", "", false}},
		{"no server", good, says(`{"urls": ["http://192.0.2.1", "turn:"]}`),
			want{OK, OK, OK, "", "89", "0", "", false}},
		{"a clock that is behind", good, dated(5*time.Minute, oneServer), want{OK, OK, Bad, "", "89", "300", "", true}},
		{"a clock that is ahead", good, dated(-48*time.Hour, oneServer),
			want{OK, OK, Bad, "", "89", "-172800", "", true}},
		{"a clock that differs a little", good, dated(-30*time.Second, oneServer),
			want{OK, OK, OK, "", "89", "-30", "", true}},
		{"no time", good, undated, want{OK, OK, Unknown, "", "89", "", "", true}},
		{"another name", other, says(oneServer), want{OK, Bad, OK, "", "89", "0", "for another name", false}},
		{"expired", expired, says(oneServer), want{OK, Bad, OK, "", "-2", "0", "expired 2 days ago", false}},
		{"not yet", future, says(oneServer), want{OK, Bad, OK, "", "2", "0", "not valid yet", false}},
		{"soon", soon, says(oneServer), want{OK, Bad, OK, "", "12", "0", "expires in 12 days", true}},
	} {
		t.Run(tt.name, func(t *testing.T) { tt.want.check(t, fake(t, tt.certificate, tt.handle)) })
	}

	t.Run("nobody trusted", func(t *testing.T) {
		r := fake(t, good, says(oneServer))
		r.Trust = nil
		want{OK, Bad, OK, "", "89", "0", "serve the whole chain", false}.check(t, r)
	})
}

// dated answers with body and with the time of a clock that is ahead of this machine's.
func dated(ahead time.Duration, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Date", time.Now().Add(ahead).UTC().Format(http.TimeFormat))
		fmt.Fprint(w, body)
	}
}

// A relay that does not answer is reported without its address.
func TestSilentRelayIsReported(t *testing.T) {
	at := reserve.For(t)
	garbage := tcptest.Start(t, func(c net.Conn) { fmt.Fprint(c, "SSH-2.0-nothing of ours\r\n") })
	for url, text := range map[string]string{
		"https://" + at:               "refuses the connection",
		"https://" + garbage.String(): "the connection breaks",
		"https://nowhere.invalid":     "its name cannot be resolved",
	} {
		c := Relay{URL: url}.contact(t.Context(), "")
		f, certificate, clock := c.checkHTTPS(), c.checkCertificate(time.Now()), c.checkClock()
		if f.Verdict != Bad || !strings.Contains(f.Text, text) || strings.Contains(f.Text, "127.0.0.1") {
			t.Errorf("%s: %+v", url, f)
		}

		if certificate.Verdict != Unknown || clock.Verdict != Unknown {
			t.Errorf("%s: %+v, %+v", url, certificate, clock)
		}
	}
}

func TestLabelShowsNoAddress(t *testing.T) {
	for _, tt := range []struct {
		url        string
		number, of int
		want       string
	}{
		{"https://relay.example", 1, 2, "relay.example"}, {"https://relay.example:8443", 1, 1, "relay.example"},
		{"https://192.0.2.1", 1, 1, "the relay"}, {"https://[2001:db8::1]:443", 2, 2, "relay 2"},
		{"://", 1, 1, "the relay"},
	} {
		if got := label(tt.url, tt.number, tt.of); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.url, got, tt.want)
		}
	}
}
