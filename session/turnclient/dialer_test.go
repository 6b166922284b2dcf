package turnclient

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// tlsConfigs returns a server's configuration and a client's. httptest's certificate is for example.com and 127.0.0.1.
func tlsConfigs(t *testing.T) (server, trust *tls.Config) {
	t.Helper()
	borrowed := httptest.NewUnstartedServer(nil)
	borrowed.StartTLS()
	borrowed.Close()
	roots := x509.NewCertPool()
	roots.AddCert(borrowed.Certificate())
	return &tls.Config{Certificates: borrowed.TLS.Certificates, NextProtos: []string{alpnTURN}},
		&tls.Config{RootCAs: roots}
}

// tlsServer starts a server that sends back the name of the protocol for which a client asked.
func tlsServer(t *testing.T) (address string, trust *tls.Config) {
	t.Helper()
	server, trust := tlsConfigs(t)
	l, err := tls.Listen("tcp", "127.0.0.1:0", server)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })

	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			secure := c.(*tls.Conn)
			if secure.Handshake() == nil {
				fmt.Fprintln(c, secure.ConnectionState().NegotiatedProtocol)
			}
			c.Close()
		}
	}()

	return l.Addr().String(), trust
}

// proxy is an HTTP proxy that connects to one server, whichever name a client asks for.
type proxy struct {
	*url.URL
	asked chan string // the clients' requests, with their credentials
}

func newProxy(t *testing.T, to string, status int) proxy {
	t.Helper()
	p := proxy{asked: make(chan string, 8)}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asOrigin := &http.Request{Header: http.Header{"Authorization": r.Header["Proxy-Authorization"]}}
		who := "without credentials"
		if user, password, ok := asOrigin.BasicAuth(); ok {
			who = user + ":" + password
		}
		p.asked <- fmt.Sprintf("%s %s %s", r.Method, r.Host, who)
		if status != http.StatusOK {
			w.WriteHeader(status)
			return
		}

		server, err := net.Dial("tcp", to)
		if err != nil {
			t.Error(err)
			return
		}
		defer server.Close()

		client, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer client.Close()

		io.WriteString(client, "HTTP/1.1 200 Connection established\r\n\r\n")
		go io.Copy(server, client)
		io.Copy(client, server)
	}))
	t.Cleanup(s.Close)

	var err error
	if p.URL, err = url.Parse(s.URL); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p proxy) choose(*http.Request) (*url.URL, error) { return p.URL, nil }

// says dials and returns what the server says.
func says(d *Dialer, address string) (string, error) {
	c, err := d.Dial("tcp4", address)
	if err != nil {
		return "", err
	}
	defer c.Close()

	if _, ok := c.LocalAddr().(*net.TCPAddr); !ok {
		return "", errors.New("the local address is not a TCP address, which pion wants")
	}
	if !d.secure[address] {
		io.WriteString(c, "no handshake\n") // makes the server give up
	}

	return bufio.NewReader(c).ReadString('\n')
}

// The dialer reaches a relay over TLS if the URL says so, and only if the relay's certificate is trusted and names it.
func TestTURNDialerTrusts(t *testing.T) {
	address, trust := tlsServer(t)
	_, port, _ := net.SplitHostPort(address)
	for _, tt := range []struct {
		name, url, host string
		trust           *tls.Config
		ok              bool
	}{
		{"trusted", "turns:127.0.0.1:%s?transport=tcp", "127.0.0.1", trust, true},
		{"the system's roots", "turns:127.0.0.1:%s?transport=tcp", "127.0.0.1", nil, false},
		{"another's name", "turns:localhost:%s?transport=tcp", "localhost", trust, false},
		{"without TLS", "turn:127.0.0.1:%s?transport=tcp", "127.0.0.1", trust, false},
	} {
		d := newDialer(t.Context(), []string{"turn:127.0.0.1:1?transport=udp", fmt.Sprintf(tt.url, port)}, tt.trust,
			nil)
		d.proxy = func(*http.Request) (*url.URL, error) { return nil, nil }
		got, err := says(d, net.JoinHostPort(tt.host, port))
		if ok := err == nil && got == alpnTURN+"\n"; ok != tt.ok {
			t.Errorf("%s: %q, %v", tt.name, got, err)
		}

		if strings.HasPrefix(tt.url, "turns:") && !tt.ok && !errors.As(err, new(*tls.CertificateVerificationError)) {
			t.Errorf("%s: %v, want a certificate that is not trusted", tt.name, err)
		}
	}

	if trust.ServerName != "" || trust.NextProtos != nil {
		t.Error("the caller's configuration was changed")
	}
}

// The dialer recognizes TLS servers by host and port, as pion spells them.
func TestTURNDialerKnowsItsServers(t *testing.T) {
	d := newDialer(t.Context(),
		[]string{"turns:relay.example:443?transport=tcp", "turns:[2001:db8::1]:444", "turns:plain.example",
			"turns:[2001:db8::2]", "turn:relay.example:3478"}, nil, nil)
	for address, want := range map[string]bool{
		"relay.example:443": true, "[2001:db8::1]:444": true, "plain.example:5349": true, "[2001:db8::2]:5349": true,
		"relay.example:3478": false,
	} {
		if d.secure[address] != want {
			t.Errorf("%s: TLS %v, want %v", address, d.secure[address], want)
		}
	}
}

// If the environment names a proxy for HTTPS, TURN over TLS goes through it, as signaling does. Plain TURN does not.
func TestTURNDialerThroughProxy(t *testing.T) {
	address, trust := tlsServer(t)
	through := func(p proxy) *Dialer {
		d := newDialer(t.Context(), []string{"turns:example.com:443?transport=tcp"}, trust, nil)
		d.proxy = p.choose
		return d
	}

	p := newProxy(t, address, http.StatusOK)
	for _, tt := range []struct {
		user *url.Userinfo
		want string
	}{
		{url.UserPassword("me", "pass:word"), "CONNECT example.com:443 me:pass:word"},
		{url.User("me"), "CONNECT example.com:443 me:"},
		{nil, "CONNECT example.com:443 without credentials"},
	} {
		p.User = tt.user
		if got, err := says(through(p), "example.com:443"); err != nil || got != alpnTURN+"\n" {
			t.Errorf("through a proxy, as %v: %q, %v", tt.user, got, err)
		}
		if asked := <-p.asked; asked != tt.want {
			t.Errorf("the proxy got the request %s, want %s", asked, tt.want)
		}
	}

	if got, err := says(through(p), address); err == nil {
		t.Errorf("plain TURN: %q", got)
	}
	if len(p.asked) > 0 {
		t.Errorf("the proxy got the request %s from plain TURN", <-p.asked)
	}

	if _, err := says(through(newProxy(t, address, http.StatusForbidden)), "example.com:443"); !errors.Is(err,
		errProxyRefuse) {
		t.Errorf("a proxy that refuses: %v", err)
	}

	other := newProxy(t, address, http.StatusOK)
	other.Scheme = "socks5"
	if _, err := says(through(other), "example.com:443"); !errors.Is(err, errProxyScheme) {
		t.Errorf("a proxy of another kind: %v", err)
	}
}

// A session that ends does not wait for a server, whatever stage the connection has reached.
func TestTURNDialerEnds(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()

	address := silent.Addr().String()
	for name, p := range map[string]func(*http.Request) (*url.URL, error){
		"handshake": func(*http.Request) (*url.URL, error) { return nil, nil },
		"proxy":     proxy{URL: &url.URL{Scheme: "http", Host: address}}.choose,
	} {
		ctx, cancel := context.WithCancel(t.Context())
		d := newDialer(ctx, []string{"turns:" + address}, nil, nil)
		d.proxy = p
		ended := make(chan error, 1)
		go func() { _, err := d.Dial("tcp4", address); ended <- err }()
		c, err := silent.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(make([]byte, 1)); err != nil { // the handshake has begun
			t.Fatal(err)
		}

		began := time.Now()
		cancel()
		if err := <-ended; err == nil || time.Since(began) > dialWait/2 {
			t.Errorf("%s: ended after %v with %v", name, time.Since(began), err)
		}
		c.Close()
	}
}
