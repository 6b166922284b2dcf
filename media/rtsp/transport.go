package rtsp

import (
	"fmt"
	"strconv"
	"strings"
)

// transport is the way that packets take.
type transport uint8

const (
	overTCP transport = iota + 1 // interleaved in the connection (RFC 2326, section 10.12)
	overUDP
)

func (t transport) other() transport {
	if t == overTCP {
		return overUDP
	}
	return overTCP
}

func (t transport) String() string {
	if t == overUDP {
		return "UDP"
	}
	return "TCP"
}

// The channels to request for interleaved data.
const (
	rtpChannel  = 0
	rtcpChannel = 1
)

// transportLine returns the header line that requests a transport (RFC 2326, section 12.39). port is for RTP over UDP.
func transportLine(t transport, port int) string {
	if t == overTCP {
		return fmt.Sprintf("Transport: RTP/AVP/TCP;unicast;interleaved=%d-%d", rtpChannel, rtcpChannel)
	}
	return fmt.Sprintf("Transport: RTP/AVP;unicast;client_port=%d-%d", port, port+1)
}

// transportReply is the transport that a server has chosen.
type transportReply struct {
	transport transport
	rtp, rtcp uint8  // channels
	ports     [2]int // the server's ports for RTP and RTCP; 0 if it does not give them
	source    string // the address that packets come from; "" for the server's own
}

// parseTransport reads the Transport header field of an answer. What the field leaves out is as requested: the
// transport asked, and our channels.
func parseTransport(field string, asked transport) transportReply {
	reply := transportReply{transport: asked, rtp: rtpChannel, rtcp: rtcpChannel}
	first, _, _ := strings.Cut(field, ",")
	for i, p := range strings.Split(first, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(p), "=")
		low, high := parseRange(value)
		switch name = strings.ToLower(name); {
		case i == 0 && strings.HasSuffix(name, "/tcp"):
			reply.transport = overTCP
		case i == 0 && strings.HasSuffix(name, "/udp"):
			reply.transport = overUDP
		case name == "client_port" && reply.transport == overTCP:
			reply.transport = overUDP
		case name == "interleaved" && low >= 0 && low <= 255:
			reply.transport = overTCP // whatever the profile before it says
			reply.rtp, reply.rtcp = uint8(low), uint8(min(max(high, low), 255))
			if high < 0 {
				reply.rtcp = uint8(min(low+1, 255))
			}
		case name == "server_port" && low > 0 && low < 1<<16:
			reply.ports[0], reply.ports[1] = low, min(low+1, 1<<16-1)
			if high > 0 && high < 1<<16 {
				reply.ports[1] = high
			}
		case name == "source":
			reply.source = strings.Trim(value, "[]")
		}
	}

	return reply
}

// parseRange reads "4-5" or "4". A missing number is -1.
func parseRange(s string) (low, high int) {
	first, second, _ := strings.Cut(s, "-")
	number := func(s string) int {
		n, err := strconv.Atoi(strings.TrimSpace(s))
		if err != nil {
			return -1
		}
		return n
	}

	return number(first), number(second)
}

// parseSession reads a Session header field (RFC 2326, section 12.37).
func parseSession(field string) (id string, timeout int) {
	id, rest, _ := strings.Cut(field, ";")
	for _, p := range strings.Split(rest, ";") {
		if value, ok := strings.CutPrefix(strings.ToLower(strings.TrimSpace(p)), "timeout="); ok {
			timeout, _ = strconv.Atoi(strings.TrimSpace(value)) // 0 if it is no number
		}
	}
	return strings.TrimSpace(id), timeout
}
