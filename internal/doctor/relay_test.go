package doctor

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// certificateFor makes one that signs itself.
func certificateFor(t *testing.T, host string, from, to time.Time) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: from, NotAfter: to,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, BasicConstraintsValid: true}
	if ip := net.ParseIP(host); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{host}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// fake is a relay's HTTPS, as it is wanted.
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

// What is wrong with a relay's HTTPS is told as it is, and what is said under a certificate that is not trusted is not believed.
func TestRelay(t *testing.T) {
	now := time.Now()
	good := certificateFor(t, "127.0.0.1", now.Add(-time.Hour), now.Add(90*24*time.Hour))
	type want struct {
		https, certificate, clock Verdict
		value, days, seconds      string
		text                      string // of the certificate
		said                      bool
	}
	for _, tt := range []struct {
		name        string
		certificate tls.Certificate
		handle      http.HandlerFunc
		untrusting  bool
		want        want
	}{
		{"good", good, says(oneServer), false, want{OK, OK, OK, "", "89", "0", "good for 89 more days", true}},
		{"an older relay", good, http.NotFound, false, want{Unknown, OK, OK, "old", "89", "0", "", false}},
		{"a proxy that is broken", good, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(502) }, false, want{Bad, OK, OK, "502", "89", "0", "", false}},
		{"a page that leads elsewhere", good, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://192.0.2.1/", http.StatusFound)
		}, false,
			want{Bad, OK, OK, "302", "89", "0", "", false}},
		{"nonsense", good, says("<html>"), false, want{OK, OK, OK, "", "89", "0", "", false}},
		{"no server", good, says(`{"urls": ["http://192.0.2.1", "turn:"]}`), false, want{OK, OK, OK, "", "89", "0", "", false}},
		{"a clock that is behind", good, dated(5*time.Minute, oneServer), false, want{OK, OK, Bad, "", "89", "300", "", true}},
		{"a clock that is ahead", good, dated(-48*time.Hour, oneServer), false, want{OK, OK, Bad, "", "89", "-172800", "", true}},
		{"a clock that differs a little", good, dated(-30*time.Second, oneServer), false, want{OK, OK, OK, "", "89", "-30", "", true}},
		{"no time", good, func(w http.ResponseWriter, _ *http.Request) { w.Header()["Date"] = nil; fmt.Fprint(w, oneServer) }, false, want{OK, OK, Unknown, "", "89", "", "", true}},
		{"nobody trusted", good, says(oneServer), true, want{OK, Bad, OK, "", "89", "0", "serve the whole chain", false}},
		{"another name", certificateFor(t, "other.example", now.Add(-time.Hour), now.Add(90*24*time.Hour)), says(oneServer), false,
			want{OK, Bad, OK, "", "89", "0", "for another name", false}},
		{"expired", certificateFor(t, "127.0.0.1", now.Add(-72*time.Hour), now.Add(-49*time.Hour)), says(oneServer), false,
			want{OK, Bad, OK, "", "-2", "0", "expired 2 days ago", false}},
		{"not yet", certificateFor(t, "127.0.0.1", now.Add(time.Hour), now.Add(49*time.Hour)), says(oneServer), false,
			want{OK, Bad, OK, "", "2", "0", "not valid yet", false}},
		{"soon", certificateFor(t, "127.0.0.1", now.Add(-time.Hour), now.Add(13*24*time.Hour)), says(oneServer), false,
			want{OK, Bad, OK, "", "12", "0", "12 more days only", true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := fake(t, tt.certificate, tt.handle)
			if tt.untrusting {
				r.Trust = nil
			}
			c := r.reach(t.Context(), "")
			https, certificate, clock := c.https(), c.certificate(time.Now()), c.clock()
			seconds := clock.Value
			if near := map[string]string{"1": "0", "-1": "0", "301": "300", "299": "300", "-172799": "-172800", "-172801": "-172800", "-29": "-30", "-31": "-30"}; near[seconds] != "" {
				seconds = near[seconds] // the header has whole seconds
			}
			got := want{https.Verdict, certificate.Verdict, clock.Verdict, https.Value, certificate.Value, seconds, tt.want.text, c.says}
			if got != tt.want || !strings.Contains(certificate.Text, tt.want.text) {
				t.Errorf("got %+v, %q\nwant %+v", got, certificate.Text, tt.want)
			}
			if c.says && (len(c.servers) != 1 || c.servers[0].port != 5000) {
				t.Errorf("servers %+v", c.servers)
			}
			if !c.says && len(c.servers) != 4 {
				t.Errorf("servers %+v; want the customary ones", c.servers)
			}
		})
	}
}

// dated says the time of a clock that is this much ahead of the machine's.
func dated(ahead time.Duration, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Date", time.Now().Add(ahead).UTC().Format(http.TimeFormat))
		fmt.Fprint(w, body)
	}
}

// A relay that is not there is told as that, without its address.
func TestRelayAway(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := l.Addr().String()
	l.Close()
	garbage, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer garbage.Close()
	go func() {
		for {
			conn, err := garbage.Accept()
			if err != nil {
				return
			}
			fmt.Fprint(conn, "SSH-2.0-nothing of ours\r\n")
			conn.Close()
		}
	}()
	for url, text := range map[string]string{
		"https://" + at:                      "refuses the connection",
		"https://" + garbage.Addr().String(): "the connection breaks",
		"https://nowhere.invalid":            "its name is not known here",
	} {
		c := Relay{URL: url}.reach(t.Context(), "")
		f, certificate, clock := c.https(), c.certificate(time.Now()), c.clock()
		if f.Verdict != Bad || !strings.Contains(f.Text, text) || strings.Contains(f.Text, "127.0.0.1") {
			t.Errorf("%s: %+v", url, f)
		}
		if certificate.Verdict != Unknown || clock.Verdict != Unknown {
			t.Errorf("%s: %+v, %+v", url, certificate, clock)
		}
	}
}

func TestLabel(t *testing.T) {
	for _, tt := range []struct {
		url        string
		number, of int
		want       string
	}{
		{"https://relay.example", 1, 2, "relay.example"}, {"https://relay.example:8443", 1, 1, "relay.example"},
		{"https://192.0.2.1", 1, 1, "the relay"}, {"https://[2001:db8::1]:443", 2, 2, "relay 2"}, {"://", 1, 1, "the relay"},
	} {
		if got := label(tt.url, tt.number, tt.of); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.url, got, tt.want)
		}
	}
}
