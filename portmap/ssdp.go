package portmap

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"time"
)

const (
	ssdpPort   = 1900
	ssdpAgain  = 500 * time.Millisecond  // until the search is sent again
	ssdpWait   = 2500 * time.Millisecond // for an answer; devices may take a second (MX)
	maxAnswers = 32                      // of other devices, read while the router's is awaited
)

// ssdpGroup is where UPnP devices hear searches.
var ssdpGroup = netip.AddrPortFrom(netip.AddrFrom4([4]byte{239, 255, 255, 250}), ssdpPort)

// errSilent is returned when nothing in the network says that it is the router.
var errSilent = errors.New("no answer from the router")

// search asks for the router's description by SSDP (UPnP Device Architecture, section 1.3). Only the router's own answer counts, and only
// if it points to itself: any device can answer, and would else have us ask hosts of its choice.
func search(ctx context.Context, r route) (*url.URL, error) {
	ctx, cancel := context.WithTimeout(ctx, ssdpWait)
	defer cancel()
	conn, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(r.local, 0)))
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	b := make([]byte, 2048)
	for answers := 0; answers < maxAnswers; {
		if err := ask(conn, r); err != nil {
			return nil, err
		}
		if err := conn.SetReadDeadline(time.Now().Add(ssdpAgain)); err != nil {
			return nil, err
		}
		for ; answers < maxAnswers; answers++ {
			n, from, err := conn.ReadFromUDPAddrPort(b)
			if err != nil {
				break // time to ask again, or the end
			}
			if from.Addr().Unmap() != r.gateway {
				continue
			}
			if location, err := locationOf(b[:n], r.gateway); err == nil {
				return location, nil
			}
		}
		if ctx.Err() != nil {
			break
		}
	}
	return nil, errSilent
}

// ask sends the search to all that hear it, and to the router, which may hear only one of the two.
func ask(conn *net.UDPConn, r route) error {
	var sent int
	var errs []error
	for _, version := range []string{"1", "2"} {
		for _, to := range []netip.AddrPort{ssdpGroup, netip.AddrPortFrom(r.gateway, ssdpPort)} {
			if _, err := conn.WriteToUDPAddrPort(searchFor("urn:schemas-upnp-org:device:InternetGatewayDevice:"+version), to); err != nil {
				errs = append(errs, err)
				continue
			}
			sent++
		}
	}
	if sent > 0 {
		return nil
	}
	return errors.Join(errs...)
}

func searchFor(target string) []byte {
	return fmt.Appendf(nil, "M-SEARCH * HTTP/1.1\r\nHOST: %s\r\nMAN: \"ssdp:discover\"\r\nMX: 1\r\nST: %s\r\n\r\n", ssdpGroup, target)
}

// locationOf reads where the description is.
func locationOf(answer []byte, gateway netip.Addr) (*url.URL, error) {
	response, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(answer)), nil)
	if err != nil {
		return nil, err
	}
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, errSilent
	}
	location, err := response.Location()
	if err != nil {
		return nil, err
	}
	if location.Scheme != "http" || location.Hostname() != gateway.String() {
		return nil, errElsewhere
	}
	return location, nil
}
