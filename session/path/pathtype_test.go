package path

import (
	"testing"

	"github.com/pion/webrtc/v4"
)

// at returns the candidate that a text such as "host 192.0.2.1" or "relay tcp" describes.
func at(text string) Candidate {
	var c Candidate
	typ, where := text, ""
	for i := range text {
		if text[i] == ' ' {
			typ, where = text[:i], text[i+1:]
		}
	}

	c.Type, c.Address, c.Port = map[string]webrtc.ICECandidateType{
		"host": webrtc.ICECandidateTypeHost, "srflx": webrtc.ICECandidateTypeSrflx,
		"prflx": webrtc.ICECandidateTypePrflx, "relay": webrtc.ICECandidateTypeRelay,
	}[typ], where, 5000
	if typ == "relay" {
		c.Address, c.relayWay = "198.18.0.1", where
	}

	return c
}

func TestTypeOfPair(t *testing.T) {
	const v6, v6near, v6far = "2001:db8:1::2", "2001:db8:1::3", "2001:db8:2::3"
	for _, tt := range []struct {
		name, local, remote string
		ours, theirs        []string // further candidates
		typ                 Type
		through             string
	}{
		{"on one machine", "host 127.0.0.1", "host 127.0.0.1", nil, nil, LAN, ""},
		{"at home", "host 192.168.1.2", "host 192.168.1.3", nil, nil, LAN, ""},
		{"at home, seen by the checks", "host 192.168.1.2", "prflx 192.168.1.3", nil, nil, LAN, ""},
		{"at home, by a browser's name", "host 192.168.1.2", "host 1b2c.local", nil, nil, LAN, ""},
		{"at home over IPv6", "host " + v6, "host " + v6near, nil, nil, LAN, ""},
		{"at home over IPv6, by another address of this end", "prflx " + v6far, "host " + v6near,
			[]string{"host " + v6}, nil, LAN, ""},
		{"at home over IPv6 with local addresses", "host fd00::1", "host fd00::2", nil, nil, LAN, ""},
		{"over a link", "host fe80::1", "host fe80::2", nil, nil, LAN, ""},
		{"with a server of one machine", "host 203.0.113.1", "srflx 203.0.113.1", nil, nil, LAN, ""},
		{"on one machine with a public address", "host 192.168.1.2", "host 203.0.113.1", []string{"host 203.0.113.1"},
			nil, LAN, ""},
		{"on one machine, from its loopback", "host 127.0.0.1", "host 203.0.113.1", nil, nil, LAN, ""},
		{"through one router and back", "srflx 203.0.113.1", "srflx 203.0.113.1", []string{"host 192.168.1.2"},
			[]string{"host 192.168.1.3"}, Direct, throughHole},
		{"IPv6", "host " + v6, "host " + v6far, nil, nil, IPv6, ""},
		{"IPv6, and a browser hides its own", "host 1b2c.local", "host " + v6far, nil, nil, IPv6, ""},
		{"two homes", "host 192.168.1.2", "srflx 203.0.113.1", nil, nil, Direct, throughHole},
		{"a home and a server", "host 192.168.1.2", "host 203.0.113.1", nil, nil, Direct, throughHole},
		{"a server and a home", "host 203.0.113.1", "prflx 203.0.113.2", nil, nil, Direct, throughHole},
		{"carrier-grade", "host 100.64.0.2", "host 203.0.113.1", nil, nil, Direct, throughHole},
		{"behind one carrier", "host 203.0.113.1", "host 100.64.0.3", nil, nil, Direct, throughUnknown},
		{"two servers", "host 203.0.113.1", "host 203.0.113.2", nil, nil, Direct, throughNothing},
		{"two servers, as STUN sees them", "srflx 203.0.113.1", "srflx 203.0.113.2", []string{"host 203.0.113.1"},
			[]string{"host 203.0.113.2"}, Direct, throughNothing},
		{"a server that is not the one STUN saw", "host 203.0.113.1", "srflx 203.0.113.2", nil,
			[]string{"host 203.0.113.3"}, Direct, throughHole},
		{"a browser that hides everything", "host 1b2c.local", "host 203.0.113.2", nil, nil, Direct, throughUnknown},
		{"relayed", "relay udp", "relay ", nil, nil, RelayUDP, ""},
		{"relayed over TCP", "relay tcp", "relay ", nil, nil, RelayTCP, ""},
		{"relayed over TLS", "relay tls", "relay ", nil, nil, RelayTLS, ""},
		{"a relay has no way out", "relay udp", "host 192.168.1.2", nil, nil, "", ""},
		{"and no way in", "host 192.168.1.2", "relay ", nil, nil, "", ""},
	} {
		local, remote := at(tt.local), at(tt.remote)
		ours, theirs := []Candidate{local}, []Candidate{remote}
		for _, text := range tt.ours {
			ours = append(ours, at(text))
		}
		for _, text := range tt.theirs {
			theirs = append(theirs, at(text))
		}

		typ := typeOfPair(local, remote, ours)
		if typ != tt.typ {
			t.Errorf("%s: type %q, want %q", tt.name, typ, tt.typ)
		}
		if got := through(local, remote, ours, theirs); typ == Direct && got != tt.through {
			t.Errorf("%s: through %s, want %s", tt.name, got, tt.through)
		}
	}
}

// The type of a relayed path is that of the end with the worse way to the relay.
func TestRelayedTypeIsTheWorseOfBothEnds(t *testing.T) {
	for _, tt := range []struct {
		r    Type
		way  string
		want Type
	}{
		{RelayUDP, "", RelayUDP}, {RelayUDP, "udp", RelayUDP}, {RelayUDP, "tcp", RelayTCP}, {RelayUDP, "tls", RelayTLS},
		{RelayTCP, "udp", RelayTCP}, {RelayTCP, "tls", RelayTLS}, {RelayTLS, "tcp", RelayTLS},
		{RelayTLS, "udp", RelayTLS},
	} {
		if got := tt.r.over(tt.way); got != tt.want {
			t.Errorf("%s and %q: %s, want %s", tt.r, tt.way, got, tt.want)
		}
	}
}

func TestKindTellsTypeAndFamilyOnly(t *testing.T) {
	tcp := at("host 192.0.2.1")
	tcp.TCP = true
	for want, c := range map[string]Candidate{
		"host4": at("host ::ffff:192.0.2.1"), "host6": at("host fe80::1%eth0"), "host": at("host 1b2c.local"),
		"srflx4": at("srflx 192.0.2.1"),
		"prflx6": at("prflx 2001:db8::1"), "prflx": at("prflx "), "relay4": at("relay udp"), "host-tcp4": tcp,
	} {
		if got := c.Kind(); got != want {
			t.Errorf("%+v: %s, want %s", c, got, want)
		}
	}
}
