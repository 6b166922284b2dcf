package portmap

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/huin/goupnp"
	"github.com/huin/goupnp/dcps/internetgateway2"
	"github.com/huin/goupnp/soap"
)

const (
	maxDescription = 256 << 10 // bytes of a device's description or of an answer
	description    = "peephole"
	conflict       = 718 // ConflictInMappingEntry
	conflicts      = 4   // how many other ports to try after a conflict
)

var (
	errElsewhere = errors.New("the router points to another host")
	errNoService = errors.New("the router has no service that opens ports")
)

// connection is what the services that open ports have in common: WANIPConnection 1 and 2, and WANPPPConnection 1.
type connection interface {
	AddPortMappingCtx(ctx context.Context, remote string, outside uint16, protocol string,
		inside uint16, client string, enabled bool, about string, seconds uint32) error
	DeletePortMappingCtx(ctx context.Context, remote string, outside uint16, protocol string) error
	GetExternalIPAddressCtx(ctx context.Context) (string, error)
}

// igd is a router that speaks UPnP.
type igd struct {
	route route
	wan   connection
}

// openIGD finds the router's description, and in it the service that opens ports.
func openIGD(ctx context.Context, r route) (protocol, error) {
	location, err := search(ctx, r)
	if err != nil {
		return nil, fmt.Errorf("search gateway: %w", err)
	}

	client := &http.Client{
		Transport:     newBounded(r),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	root, err := describe(ctx, client, location)
	if err != nil {
		return nil, fmt.Errorf("read gateway's description: %w", err)
	}

	wan, err := service(root, client)
	if err != nil {
		return nil, err
	}
	return igd{r, wan}, nil
}

// describe reads a device's description. goupnp would use a client of its own, which follows redirections to any host
// and reads without a limit.
func describe(ctx context.Context, client *http.Client, location *url.URL) (*goupnp.RootDevice, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, location.String(), nil)
	if err != nil {
		return nil, err
	}

	answer, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()

	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("HTTP %d", answer.StatusCode)
	}

	root := new(goupnp.RootDevice)
	d := xml.NewDecoder(answer.Body)
	d.DefaultSpace = goupnp.DeviceXMLNamespace
	if err := d.Decode(root); err != nil {
		return nil, err
	}

	base := location
	if root.URLBaseStr != "" {
		if base, err = url.Parse(root.URLBaseStr); err != nil {
			return nil, err
		}
	}

	root.SetURLBase(base)
	return root, nil
}

// service returns the best service that opens ports; its requests go through client.
func service(root *goupnp.RootDevice, client *http.Client) (connection, error) {
	use := func(c *soap.SOAPClient) { c.HTTPClient = *client }
	if found, err := internetgateway2.NewWANIPConnection2ClientsFromRootDevice(root, nil); err == nil {
		use(found[0].SOAPClient)
		return found[0], nil
	}
	if found, err := internetgateway2.NewWANIPConnection1ClientsFromRootDevice(root, nil); err == nil {
		use(found[0].SOAPClient)
		return found[0], nil
	}
	if found, err := internetgateway2.NewWANPPPConnection1ClientsFromRootDevice(root, nil); err == nil {
		use(found[0].SOAPClient)
		return found[0], nil
	}
	return nil, errNoService
}

// grant never asks for a permanent mapping, though some routers offer nothing else: it would outlive this program, and
// whatever used the port next would be open to the world.
func (g igd) grant(ctx context.Context, m *mapping) (lease, error) {
	text, err := g.wan.GetExternalIPAddressCtx(ctx)
	if err != nil {
		return lease{}, fmt.Errorf("ask for outside address: %w", err)
	}
	address, err := netip.ParseAddr(text)
	if err != nil {
		return lease{}, fmt.Errorf("ask for outside address: %w", err)
	}

	port := m.inside.Port()
	if m.outside.IsValid() {
		port = m.outside.Port()
	}

	for range 1 + conflicts {
		err = g.wan.AddPortMappingCtx(ctx, "", port, "UDP",
			m.inside.Port(), m.inside.Addr().String(), true, description, uint32(lifetime/time.Second))
		if err == nil {
			return lease{netip.AddrPortFrom(address.Unmap(), port), lifetime}, nil
		}

		var fault *soap.SOAPFaultError
		if !errors.As(err, &fault) || fault.Detail.UPnPError.Errorcode != conflict {
			break
		}
		port = uint16(49152 + rand.N(16384))
	}

	return lease{}, fmt.Errorf("ask for port: %w", err)
}

func (g igd) release(ctx context.Context, m *mapping) error {
	port := m.inside.Port() // perhaps it was granted and the answer was lost
	if m.outside.IsValid() {
		port = m.outside.Port()
	}
	return g.wan.DeletePortMappingCtx(ctx, "", port, "UDP")
}

// bounded is an HTTP transport to one router: it reaches no other host, uses no proxy and reads maxDescription bytes of
// an answer at most.
type bounded struct {
	http    *http.Transport
	gateway netip.Addr
}

func newBounded(r route) bounded {
	d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(r.local, 0))}
	transport := &http.Transport{
		DialContext:            d.DialContext,
		DisableKeepAlives:      true,
		MaxResponseHeaderBytes: 16 << 10,
	}
	return bounded{transport, r.gateway}
}

// RoundTrip implements http.RoundTripper.
func (b bounded) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.URL.Scheme != "http" || request.URL.Hostname() != b.gateway.String() {
		return nil, errElsewhere
	}

	answer, err := b.http.RoundTrip(request)
	if err != nil {
		return nil, err
	}

	answer.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(answer.Body, maxDescription), answer.Body}
	return answer, nil
}
