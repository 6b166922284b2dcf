package doctor

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/nat"
	"github.com/peephole-cam/peephole/test/selfsigned"
)

func writeChain(t *testing.T, chain ...*x509.Certificate) (file string) {
	t.Helper()
	var text []byte
	for _, c := range chain {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}

	file = filepath.Join(t.TempDir(), "cert.pem")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// The certificate file is checked, and must hold the certificate that is served.
func TestCertificateFileMustBeServed(t *testing.T) {
	now := time.Now()
	served := selfsigned.New(t, "127.0.0.1")
	renewed := selfsigned.Valid(t, "127.0.0.1", now, now.Add(91*24*time.Hour))
	soon := selfsigned.Valid(t, "127.0.0.1", now.Add(-time.Hour), now.Add(5*24*time.Hour))
	r := fake(t, served, says(oneServer))
	both := x509.NewCertPool()
	for _, c := range []tls.Certificate{served, renewed, soon} {
		both.AddCert(c.Leaf)
	}

	r.Trust = &tls.Config{RootCAs: both}
	c := r.contact(t.Context(), "")
	for _, tt := range []struct {
		name, file, text string
		want             Verdict
	}{
		{"none", "", "none is needed", OK},
		{"the one that is served", writeChain(t, served.Leaf), "valid for 89 more days", OK},
		{"renewed, and not reloaded", writeChain(t, renewed.Leaf), "reload it", Bad},
		{"soon to end", writeChain(t, soon.Leaf), "renew it", Bad},
		{"no file", filepath.Join(t.TempDir(), "none"), "cannot be read", Bad},
		{"empty", writeChain(t), "cannot be read", Bad},
	} {
		if f := (Operator{Relay: r, Certificate: tt.file}).checkCertificateFile(c, now); f.Verdict != tt.want ||
			!strings.Contains(f.Text, tt.text) {
			t.Errorf("%s: %+v", tt.name, f)
		}
	}
}

func TestPublicURLMustBeReachable(t *testing.T) {
	for _, tt := range []struct {
		url        string
		selfSigned bool
		want       Verdict
		value      string
	}{
		{"https://198.51.100.7", false, OK, "public"}, {"https://[2001:db8::7]", false, OK, "public"},
		{"https://192.168.1.2", false, Bad, "private"},
		{"https://127.0.0.1", false, Bad, "private"}, {"https://[fe80::1]", false, Bad, "private"},
		{"https://127.0.0.1", true, OK, "local"},
		{"http://127.0.0.1:7880", false, OK, "local"}, {"https://nowhere.invalid", false, Bad, "unknown"},
	} {
		o := Operator{Relay: Relay{URL: tt.url}, SelfSigned: tt.selfSigned}
		f := o.checkName(t.Context(), strings.HasPrefix(tt.url, "http:"))
		if f.Verdict != tt.want || f.Value != tt.value {
			t.Errorf("%s: %+v", tt.url, f)
		}
	}
}

// The two UDP ports must differ, and both must answer.
func TestSecondPortMustAnswer(t *testing.T) {
	yes := map[string]nat.Binding{"4": {}}
	second := func(port uint16) []server {
		return []server{{"turn", false, "192.0.2.1", 3478}, {"stun", false, "192.0.2.1", port}}
	}

	for _, tt := range []struct {
		name             string
		servers          []server
		says             bool
		answers, seconds map[string]nat.Binding
		want             Verdict
		value            string
	}{
		{"both answer", second(3479), true, yes, yes, OK, "yes"},
		{"the main one again", second(3478), true, yes, yes, Bad, "same"},
		{"none", second(3479)[:1], true, yes, nil, Bad, "none"},
		{"the second is silent", second(3479), true, yes, nil, Bad, "silent"},
		{"nothing gets through", second(3479), true, nil, nil, Unknown, ""},
		{"the usual one is silent", second(3479), false, yes, nil, Unknown, ""},
	} {
		u := &udp{
			contact: &contact{servers: tt.servers, says: tt.says},
			main:    map[string]netip.AddrPort{"4": netip.MustParseAddrPort("192.0.2.1:3478")},
			answers: tt.answers,
			seconds: tt.seconds,
		}
		if f := u.checkSecondPort(); f.Verdict != tt.want || f.Value != tt.value || f.Text == "" {
			t.Errorf("%s: %+v", tt.name, f)
		}
	}
}
