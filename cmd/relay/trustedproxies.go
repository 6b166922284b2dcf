package main

import (
	"fmt"
	"net/netip"

	"github.com/peephole-cam/peephole/relay"
)

// parseProxies parses -trusted-proxies, a list of networks and addresses, and checks -proxy-header.
func parseProxies(list, header string) (trusted []netip.Prefix, err error) {
	switch relay.ProxyHeader(header) {
	case relay.XForwardedFor, relay.Forwarded, relay.PROXYProtocol:
	default:
		return nil, fmt.Errorf("-proxy-header %q: want %s, %s or %s", header, relay.XForwardedFor, relay.Forwarded,
			relay.PROXYProtocol)
	}

	for _, text := range splitList(list) {
		network, err := netip.ParsePrefix(text)
		if err != nil {
			var a netip.Addr
			if a, err = netip.ParseAddr(text); err == nil && a.Zone() == "" {
				network = netip.PrefixFrom(a, a.BitLen())
			}
		}

		if err != nil || !network.IsValid() || network.Addr().Is4In6() || network != network.Masked() {
			return nil, fmt.Errorf("-trusted-proxies %q: "+
				"want addresses or networks, such as 127.0.0.1,10.1.0.0/16", text)
		}
		if network.Bits() == 0 {
			return nil, fmt.Errorf("-trusted-proxies %s: "+
				"that is everybody, and anybody could then claim any address", text)
		}
		trusted = append(trusted, network)
	}

	return trusted, nil
}
