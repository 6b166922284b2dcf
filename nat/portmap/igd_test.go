package portmap

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// box is a router that speaks UPnP, on the loopback network, and behaves as the test says.
type box struct {
	route
	location string                                           // its answer to a search; empty: its own description
	control  string                                           // URL of the service
	kind     string                                           // of the service
	handle   func(w http.ResponseWriter, action, body string) // nil: the right answers
	impostor bool                                             // another device answers the search

	mu    sync.Mutex
	heard []string // guarded by mu
	at    string
}

const answerText = "HTTP/1.1 200 OK\r\n" +
	"CACHE-CONTROL: max-age=120\r\n" +
	"ST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\n" +
	"USN: uuid:x\r\n" +
	"LOCATION: %s\r\n\r\n"

const deviceText = `<?xml version="1.0"?>
<root xmlns="urn:schemas-upnp-org:device-1-0">
	<specVersion><major>1</major></specVersion>
	<device>
		<deviceType>urn:schemas-upnp-org:device:InternetGatewayDevice:1</deviceType>
		<deviceList><device><deviceList><device>
			<serviceList>
				<service>
					<serviceType>urn:schemas-upnp-org:service:%s</serviceType>
					<serviceId>x</serviceId>
					<controlURL>%s</controlURL>
				</service>
			</serviceList>
		</device></deviceList></device></deviceList>
	</device>
</root>`

// envelopeText is a SOAP message around a body.
const envelopeText = `<?xml version="1.0"?>
<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>%s</s:Body></s:Envelope>`

const faultText = `
<s:Fault>
	<faultcode>s:Client</faultcode>
	<faultstring>UPnPError</faultstring>
	<detail>
		<UPnPError xmlns="urn:schemas-upnp-org:control-1-0">
			<errorCode>%d</errorCode>
			<errorDescription>no</errorDescription>
		</UPnPError>
	</detail>
</s:Fault>`

func (b *box) play(t *testing.T, last byte) {
	t.Helper()
	b.route = fakeRoute(last)
	l, err := net.Listen("tcp4", netip.AddrPortFrom(b.gateway, 0).String())
	if err != nil {
		t.Fatal(err)
	}

	b.at = l.Addr().String()
	s := &http.Server{Handler: b}
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { s.Close() })
	conn, err := net.ListenPacket("udp4", netip.AddrPortFrom(b.gateway, ssdpPort).String())
	if err != nil {
		t.Fatal(err)
	}

	done := make(chan struct{})
	t.Cleanup(func() { conn.Close(); <-done })
	location := b.location
	if location == "" {
		location = "http://" + b.at + "/root.xml"
	}

	answerer := conn
	if b.impostor {
		if answerer, err = net.ListenPacket("udp4", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { answerer.Close() })
	}

	go func() {
		defer close(done)
		p := make([]byte, 2000)
		for {
			n, from, err := conn.ReadFrom(p)
			if err != nil {
				return
			}
			if strings.HasPrefix(string(p[:n]), "M-SEARCH * HTTP/1.1\r\n") {
				_, _ = answerer.WriteTo(fmt.Appendf(nil, answerText, location), from)
			}
		}
	}()
}

var argument = regexp.MustCompile(`<New(\w+)>([^<]*)</`)

func (b *box) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/root.xml" {
		if r.URL.RawQuery == "" && b.handle != nil && b.kind == "" {
			b.handle(w, "describe", "")
			return
		}
		fmt.Fprintf(w, deviceText, b.kind, b.control)
		return
	}

	_, action, _ := strings.Cut(strings.Trim(r.Header.Get("SOAPACTION"), `"`), "#")
	body := new(strings.Builder)
	for _, m := range argument.FindAllStringSubmatch(read(r), -1) {
		fmt.Fprintf(body, " %s=%s", m[1], m[2])
	}

	b.mu.Lock()
	b.heard = append(b.heard, action+body.String())
	b.mu.Unlock()
	if b.handle != nil {
		b.handle(w, action, body.String())
		return
	}
	reply(w, action, "")
}

func read(r *http.Request) string {
	p := make([]byte, 4096)
	n, _ := r.Body.Read(p)
	return string(p[:n])
}

// reply answers as a router that opens ports does.
func reply(w http.ResponseWriter, action, more string) {
	if action == "GetExternalIPAddress" {
		more = "<NewExternalIPAddress>203.0.113.7</NewExternalIPAddress>"
	}
	const kind = "urn:schemas-upnp-org:service:WANIPConnection:1"
	body := fmt.Sprintf(`<u:%[1]sResponse xmlns:u="%[2]s">%[3]s</u:%[1]sResponse>`, action, kind, more)
	fmt.Fprintf(w, envelopeText, body)
}

func fault(w http.ResponseWriter, code int) {
	w.WriteHeader(http.StatusInternalServerError)
	fmt.Fprintf(w, envelopeText, fmt.Sprintf(faultText, code))
}

// ask maps a port by UPnP.
func (b *box) ask(t *testing.T) (lease, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	p, err := openIGD(ctx, b.route)
	if err != nil {
		return lease{}, err
	}

	m := newMapping(netip.AddrPortFrom(b.local, 50000))
	l, err := p.grant(ctx, m)
	if err == nil {
		m.outside = l.outside
		err = p.release(ctx, m)
	}

	return l, err
}

// TestIGDMapsForATimeAndReleases: every kind of service that opens ports is asked for one, for a limited time, for this
// host, and is asked to close it afterwards.
func TestIGDMapsForATimeAndReleases(t *testing.T) {
	for i, kind := range []string{"WANIPConnection:2", "WANIPConnection:1", "WANPPPConnection:1"} {
		b := &box{kind: kind, control: "/ctl"}
		b.play(t, byte(110+i))
		l, err := b.ask(t)
		if err != nil || l != (lease{netip.MustParseAddrPort("203.0.113.7:50000"), lifetime}) {
			t.Errorf("%s: %+v, %v", kind, l, err)
		}

		want := "GetExternalIPAddress; " +
			"AddPortMapping RemoteHost= ExternalPort=50000 Protocol=UDP InternalPort=50000 InternalClient=127.0.0.1 " +
			"Enabled=1 PortMappingDescription=peephole LeaseDuration=600; " +
			"DeletePortMapping RemoteHost= ExternalPort=50000 Protocol=UDP"
		if got := strings.Join(b.heard, "; "); got != want {
			t.Errorf("%s heard\n%s\nwant\n%s", kind, got, want)
		}
	}
}

// TestIGDAsksForNothingPermanent: it does not fight for a port that another host has, and it never asks for a permanent
// mapping, even if the router offers nothing else.
func TestIGDAsksForNothingPermanent(t *testing.T) {
	taken := &box{kind: "WANIPConnection:1", control: "/ctl", handle: func(w http.ResponseWriter, action, body string) {
		if action == "AddPortMapping" && strings.Contains(body, "ExternalPort=50000") {
			fault(w, conflict)
			return
		}
		reply(w, action, "")
	}}

	taken.play(t, 120)
	if l, err := taken.ask(t); err != nil || l.outside.Port() < 49152 || l.outside.Port() == 50000 {
		t.Errorf("a port that is taken: %+v, %v", l, err)
	}
	for i, code := range []int{725, conflict, 606} { // 725: only permanent leases
		b := &box{kind: "WANIPConnection:1", control: "/ctl", handle: func(w http.ResponseWriter, action, _ string) {
			if action == "AddPortMapping" {
				fault(w, code)
				return
			}
			reply(w, action, "")
		}}

		b.play(t, byte(121+i))
		if l, err := b.ask(t); err == nil {
			t.Errorf("error %d: granted %+v", code, l)
		}
		adds := 0
		for _, h := range b.heard {
			if strings.HasPrefix(h, "AddPortMapping") {
				adds++
			}
			if strings.Contains(h, "LeaseDuration=0") {
				t.Errorf("error %d: asked for a permanent mapping", code)
			}
		}

		if want := map[bool]int{true: 1 + conflicts, false: 1}[code == conflict]; adds != want {
			t.Errorf("error %d: asked %d times, want %d", code, adds, want)
		}
	}
}

// TestIGDMisleads: a router, or a device that claims to be one, cannot send us to another host, keep us waiting or fill
// our memory.
func TestIGDMisleads(t *testing.T) {
	visited := make(chan string, 16)
	victim := &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		visited <- r.URL.Path
	})}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}

	go func() { _ = victim.Serve(l) }()
	defer victim.Close()

	elsewhere := "http://" + l.Addr().String()
	redirect := func(code int) func(http.ResponseWriter, string, string) {
		return func(w http.ResponseWriter, _, _ string) {
			w.Header().Set("Location", elsewhere)
			w.WriteHeader(code)
		}
	}
	endless := func(w http.ResponseWriter, _, _ string) {
		fmt.Fprint(w, `<root xmlns="urn:schemas-upnp-org:device-1-0">`)
		for n := 0; n < 64<<20; n += 1 << 16 {
			if _, err := w.Write(make([]byte, 1<<16)); err != nil {
				return
			}
		}
		visited <- "64 MiB were read"
	}
	garbled := func(w http.ResponseWriter, action, _ string) { reply(w, action[:3], "") }

	for i, tt := range []struct {
		name string
		box  *box
		want error // nil: any
	}{
		{"its description is elsewhere", &box{location: elsewhere + "/root.xml"}, errSilent},
		{"its description is a file", &box{location: "file:///etc/passwd"}, errSilent},
		{"another device answers", &box{impostor: true, kind: "WANIPConnection:1", control: "/ctl"}, errSilent},
		{"its service is elsewhere", &box{kind: "WANIPConnection:1", control: elsewhere + "/ctl"}, nil},
		{"its description has moved", &box{handle: redirect(302)}, nil},
		{"its service has moved", &box{kind: "WANIPConnection:1", control: "/ctl", handle: redirect(307)}, nil},
		{"it has no such service", &box{kind: "Layer3Forwarding:1", control: "/ctl"}, errNoService},
		{"its description is endless", &box{handle: endless}, nil},
		{"its answer is no address", &box{kind: "WANIPConnection:1", control: "/ctl", handle: garbled}, nil},
	} {
		tt.box.play(t, byte(130+i))
		if l, err := tt.box.ask(t); err == nil || tt.want != nil && !errors.Is(err, tt.want) {
			t.Errorf("%s: %+v, %v", tt.name, l, err)
		}
	}

	select {
	case v := <-visited:
		t.Errorf("another host was reached: %s", v)
	default:
	}
}

// TestSearchHearsTheRouterAlone: an answer that leads anywhere but to the router is ignored.
func TestSearchHearsTheRouterAlone(t *testing.T) {
	for _, answer := range []string{
		fmt.Sprintf(answerText, "http://192.168.1.9:80/root.xml"),
		fmt.Sprintf(answerText, "https://192.168.1.1/root.xml"),
		fmt.Sprintf(answerText, "http://192.168.1.1.example/root.xml"),
		fmt.Sprintf(answerText, "http://user@192.168.1.9/"),
		fmt.Sprintf(answerText, ""),
		"NOTIFY * HTTP/1.1\r\n\r\n",
		"HTTP/1.1 500 No\r\nLOCATION: http://192.168.1.1/\r\n\r\n",
		"",
		"\x00",
	} {
		if got, err := locationOf([]byte(answer), home.gateway); err == nil {
			t.Errorf("%q leads to %v", answer, got)
		}
	}

	got, err := locationOf(fmt.Appendf(nil, answerText, "http://192.168.1.1:5000/root.xml"), home.gateway)
	if err != nil || got.Host != "192.168.1.1:5000" {
		t.Errorf("%v, %v", got, err)
	}
}

func FuzzLocation(f *testing.F) {
	f.Add(fmt.Appendf(nil, answerText, "http://192.168.1.1:5000/root.xml"))
	f.Add([]byte("HTTP/1.1 200 OK\r\nLocation: //192.168.1.1\r\n\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		u, err := locationOf(b, home.gateway)
		if err == nil && (u.Scheme != "http" || u.Hostname() != home.gateway.String()) {
			t.Errorf("led to %v", u)
		}
	})
}

func FuzzDescription(f *testing.F) {
	f.Add(fmt.Appendf(nil, deviceText, "WANIPConnection:1", "/ctl"))
	f.Add([]byte(`<root xmlns="urn:schemas-upnp-org:device-1-0">` +
		`<URLBase>http://192.168.1.9/</URLBase><device></device></root>`))
	f.Fuzz(func(t *testing.T, b []byte) {
		client := &http.Client{Transport: canned(b)}
		location := &url.URL{Scheme: "http", Host: "192.168.1.1", Path: "/root.xml"}
		if root, err := describe(t.Context(), client, location); err == nil {
			_, _ = service(root, client)
		}
	})
}

// canned answers everything with the same bytes.
type canned []byte

func (c canned) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: 200, Body: body{strings.NewReader(string(c))}}, nil
}

type body struct{ *strings.Reader }

func (body) Close() error { return nil }
