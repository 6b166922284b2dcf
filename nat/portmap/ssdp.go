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
	ssdpAgain  = 500 * time.Millisecond  // between retransmissions of the search
	ssdpWait   = 2500 * time.Millisecond // for an answer; devices may take a second (MX)
	maxAnswers = 32                      // that are read while waiting for the router's
)

// ssdpGroup is the multicast group in which UPnP devices listen for searches.
var ssdpGroup = netip.AddrPortFrom(netip.AddrFrom4([4]byte{239, 255, 255, 250}), ssdpPort)

// errSilent is returned if the router does not answer the search.
var errSilent = errors.New("no answer from the router")

// search asks for the URL of the router's description by SSDP (UPnP Device Architecture, section 1.3). Only the
// router's own answer counts, and only if it points to the router: otherwise any device could have us ask hosts of its
// choice.
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
		err := ask(conn, r)
		if err == nil {
			err = conn.SetReadDeadline(time.Now().Add(ssdpAgain))
		}
		switch {
		case ctx.Err() != nil: // and so the connection is closed
			return nil, errSilent
		case err != nil:
			return nil, err
		}

		for ; answers < maxAnswers; answers++ {
			n, from, err := conn.ReadFromUDPAddrPort(b)
			if err != nil {
				break // time to search again, or ctx has ended
			}
			if from.Addr().Unmap() != r.gateway {
				continue
			}
			if location, err := locationOf(b[:n], r.gateway); err == nil {
				return location, nil
			}
		}
	}

	return nil, errSilent
}

// ask sends the search to the multicast group and to the router itself, which may hear only one of the two.
func ask(conn *net.UDPConn, r route) error {
	var sent int
	var errs []error
	for _, version := range []string{"1", "2"} {
		for _, to := range []netip.AddrPort{ssdpGroup, netip.AddrPortFrom(r.gateway, ssdpPort)} {
			search := searchFor("urn:schemas-upnp-org:device:InternetGatewayDevice:" + version)
			if _, err := conn.WriteToUDPAddrPort(search, to); err != nil {
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
	return fmt.Appendf(nil, "M-SEARCH * HTTP/1.1\r\n"+
		"HOST: %s\r\nMAN: \"ssdp:discover\"\r\nMX: 1\r\nST: %s\r\n\r\n", ssdpGroup, target)
}

// locationOf returns the URL of the description from an answer to a search.
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
