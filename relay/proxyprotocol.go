package relay

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
)

// Bounds of a PROXY header, in bytes (HAProxy's proxy-protocol.txt, versions 1 and 2). The specification bounds version
// 1. Version 2 may be as long as 64 KiB, but no proxy comes near maxProxyBody with its addresses and extensions.
const (
	minProxyHeader = len("PROXY UNKNOWN\r\n") // no header is shorter, so this much can be read at once
	maxProxyLine   = 107
	proxyHeader2   = 16 // of version 2, before addresses and extensions
	maxProxyBody   = 1024
)

const (
	proxyPrefix1 = "PROXY "
	proxyPrefix2 = "\r\n\r\n\x00\r\nQUIT\n"
)

var errProxyHeader = errors.New("malformed PROXY header")

// readProxyHeader reads the PROXY header at the beginning of a connection, and not one byte beyond it. It returns the
// client's address, which is invalid if the proxy is itself the client (LOCAL, UNKNOWN). For anything except a header
// spelled as the specification demands, it returns errProxyHeader, because the specification forbids guessing.
func readProxyHeader(r io.Reader) (netip.AddrPort, error) {
	head := make([]byte, proxyHeader2, maxProxyLine)
	if _, err := io.ReadFull(r, head[:minProxyHeader]); err != nil {
		return netip.AddrPort{}, fmt.Errorf("read PROXY header: %w", err)
	}

	if bytes.HasPrefix(head, []byte(proxyPrefix2)) {
		if _, err := io.ReadFull(r, head[minProxyHeader:]); err != nil {
			return netip.AddrPort{}, fmt.Errorf("read PROXY header: %w", err)
		}
		return readProxyBody(r, head)
	}

	if !bytes.HasPrefix(head, []byte(proxyPrefix1)) {
		return netip.AddrPort{}, errProxyHeader
	}
	line := head[:minProxyHeader]
	for !bytes.HasSuffix(line, []byte("\r\n")) {
		if len(line) == maxProxyLine {
			return netip.AddrPort{}, errProxyHeader
		}
		line = line[:len(line)+1]
		if _, err := io.ReadFull(r, line[len(line)-1:]); err != nil {
			return netip.AddrPort{}, fmt.Errorf("read PROXY header: %w", err)
		}
	}

	return parseProxyLine(string(line[len(proxyPrefix1) : len(line)-len("\r\n")]))
}

// parseProxyLine reads version 1 between "PROXY " and the end of the line.
func parseProxyLine(line string) (netip.AddrPort, error) {
	fields := strings.Split(line, " ")
	if fields[0] == "UNKNOWN" {
		return netip.AddrPort{}, nil // the rest must be ignored
	}
	if len(fields) != 5 || fields[0] != "TCP4" && fields[0] != "TCP6" {
		return netip.AddrPort{}, errProxyHeader
	}

	source, ok := parseEndpoint(fields[1], fields[3])
	destination, ok2 := parseEndpoint(fields[2], fields[4])
	v4 := fields[0] == "TCP4"
	if !ok || !ok2 || source.Addr().Is4() != v4 || destination.Addr().Is4() != v4 {
		return netip.AddrPort{}, errProxyHeader
	}
	return clientAddress(source)
}

// parseEndpoint reads an address and a port in their shortest spellings.
func parseEndpoint(address, port string) (netip.AddrPort, bool) {
	a, err := netip.ParseAddr(address)
	n, err2 := strconv.ParseUint(port, 10, 16)
	if err != nil || err2 != nil || port != strconv.FormatUint(n, 10) {
		return netip.AddrPort{}, false
	}
	return netip.AddrPortFrom(a, uint16(n)), true
}

// The commands and protocols of version 2 that the relay accepts.
const (
	proxyLocal = 0x20
	proxyProxy = 0x21
	proxyNone  = 0x00 // the proxy does not name an address
	proxyTCP4  = 0x11
	proxyTCP6  = 0x21
)

// readProxyBody reads what follows the first 16 bytes of version 2.
func readProxyBody(r io.Reader, head []byte) (netip.AddrPort, error) {
	n := int(binary.BigEndian.Uint16(head[14:]))
	if n > maxProxyBody {
		return netip.AddrPort{}, errProxyHeader
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(r, body); err != nil {
		return netip.AddrPort{}, fmt.Errorf("read PROXY header: %w", err)
	}

	command, protocol := head[12], head[13]
	if command == proxyLocal {
		return netip.AddrPort{}, nil // the rest must be ignored, whatever it is
	}
	if command != proxyProxy {
		return netip.AddrPort{}, errProxyHeader
	}

	size := map[byte]int{proxyNone: 0, proxyTCP4: 4, proxyTCP6: 16}
	ip, known := size[protocol]
	addresses := 2*ip + 2*2
	switch {
	case known && protocol == proxyNone:
		return netip.AddrPort{}, nil
	case !known || n < addresses || !wholeExtensions(body[addresses:]):
		return netip.AddrPort{}, errProxyHeader
	}

	source, _ := netip.AddrFromSlice(body[:ip])
	return clientAddress(netip.AddrPortFrom(source, binary.BigEndian.Uint16(body[2*ip:])))
}

// wholeExtensions reports whether version 2's extensions (type, length, value) end where the header ends. The relay
// does not use them.
func wholeExtensions(p []byte) bool {
	for len(p) >= 3 {
		n := 3 + int(binary.BigEndian.Uint16(p[1:]))
		if n > len(p) {
			return false
		}
		p = p[n:]
	}
	return len(p) == 0
}

// clientAddress returns a source address in its only spelling, or errProxyHeader if no client can have it.
func clientAddress(source netip.AddrPort) (netip.AddrPort, error) {
	if !isClient(source.Addr()) {
		return netip.AddrPort{}, errProxyHeader
	}
	return netip.AddrPortFrom(source.Addr().Unmap(), source.Port()), nil
}

// isClient reports whether a client can have an address.
func isClient(a netip.Addr) bool {
	a = a.Unmap()
	return a.IsValid() && a.Zone() == "" && !a.IsUnspecified() && !a.IsMulticast()
}
