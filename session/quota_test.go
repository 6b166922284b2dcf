package session

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"

	"github.com/pion/webrtc/v4"

	"github.com/peephole-cam/peephole/session/handshake"
	"github.com/peephole-cam/peephole/session/path"
	"github.com/peephole-cam/peephole/signaling"
)

// Whatever arrives first, and however much of it, some candidates of every kind are kept, above all a relayed one.
func TestManyOfOneKindLeaveRoomForOthers(t *testing.T) {
	lines := map[string]string{
		"host4":     "candidate:1 1 udp 1 192.0.2.%d 5000 typ host",
		"host6":     "candidate:1 1 udp 1 2001:db8::%d 5000 typ host",
		"host":      "candidate:1 1 udp 1 name-%d.local 5000 typ host",
		"srflx4":    "candidate:1 1 udp 1 203.0.113.%d 5000 typ srflx raddr 0.0.0.0 rport 9",
		"srflx6":    "candidate:1 1 udp 1 2001:db8:1::%d 5000 typ srflx raddr :: rport 9",
		"relay4":    "candidate:1 1 udp 1 198.18.0.%d 5000 typ relay raddr 0.0.0.0 rport 9",
		"prflx4":    "candidate:1 1 udp 1 192.0.2.%d 5001 typ prflx raddr 0.0.0.0 rport 9",
		"relay6":    "candidate:1 1 udp 1 2001:db8:2::%d 5000 typ relay raddr :: rport 9",
		"host-tcp4": "candidate:1 1 tcp 1 192.0.2.%d 5002 typ host tcptype passive",
	}
	want := map[string]int{"host4": 4, "host6": 4, "host": 4, "srflx4": 6, "srflx6": 6, "relay4": 16}

	for first := range lines {
		t.Run(first+" first", func(t *testing.T) {
			q, kept := make(quota), map[string]int{}
			kinds := []string{first}
			for kind := range lines {
				if kind != first {
					kinds = append(kinds, kind)
				}
			}

			for _, kind := range kinds {
				for n := range 60 {
					c, err := parseCandidate(fmt.Sprintf(lines[kind], 1+n))
					if err != nil || c.Kind() != kind {
						t.Fatalf("%s: parsed as %s, %v", kind, c.Kind(), err)
					}
					if q.admit(c) {
						kept[kind]++
					}
				}
			}

			for kind := range lines {
				if kept[kind] != want[kind] {
					t.Errorf("kept %d %s, want %d", kept[kind], kind, want[kind])
				}
			}
		})
	}
}

func TestRelayedAddressOfNoRelayIsNotChecked(t *testing.T) {
	for address, want := range map[string]bool{
		"198.18.0.1":     true,
		"198.19.255.255": true,
		"198.20.0.1":     false,
		"192.168.1.1":    false,
		"2001:db8::1":    false,
	} {
		c := path.Candidate{Type: webrtc.ICECandidateTypeRelay, Address: address}
		if got := make(quota).admit(c); got != want {
			t.Errorf("%s: %v, want %v", address, got, want)
		}
	}
}

func TestCandidateOfAnotherComponentIsNotUsed(t *testing.T) {
	for _, line := range []string{
		"candidate:1 2 udp 1 192.0.2.1 5000 typ host",
		"candidate:1 0 udp 1 192.0.2.1 5000 typ host",
		"candidate:1",
		"",
	} {
		if c, err := parseCandidate(line); !errors.Is(err, handshake.ErrMalformed) {
			t.Errorf("%q: %+v, %v", line, c, err)
		}
	}
}

// An end offers no more candidates than the other end uses, and always says when there are no more.
func TestOfferedCandidatesAreBounded(t *testing.T) {
	p := &peer{offered: make(quota)}
	offered := map[webrtc.ICECandidateType]int{}
	for n := range 60 {
		for typ, ip := range map[webrtc.ICECandidateType]string{
			webrtc.ICECandidateTypeHost:  "10.%d.0.1",
			webrtc.ICECandidateTypeSrflx: "203.0.113.%d",
			webrtc.ICECandidateTypeRelay: "198.18.0.%d",
		} {
			c := webrtc.ICECandidate{Typ: typ, Protocol: webrtc.ICEProtocolUDP, Address: fmt.Sprintf(ip, n), Port: 5000}
			if p.offered.offers(&c) {
				offered[typ]++
			}
		}
	}

	if offered[webrtc.ICECandidateTypeHost] != 4 || offered[webrtc.ICECandidateTypeSrflx] != 6 ||
		offered[webrtc.ICECandidateTypeRelay] != 16 {
		t.Errorf("offered %v", offered)
	}
	if !p.offered.offers(nil) {
		t.Error("the end of candidates was left out")
	}
}

// That holds in a bulk session too.
func TestBulkOffersNoMoreCandidatesThanAreUsed(t *testing.T) {
	keys, _ := agreedKeys(t)
	e := &bulkEnd{
		cfg:     bulkConfig{outbox: newOutbox(nil, signaling.Mailbox{}, quiet())},
		records: keys.Signaling,
		offered: make(quota),
	}
	for n := range 60 {
		if err := e.sendCandidate(hostCandidate(fmt.Sprintf("10.%d.0.1", n))); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(e.cfg.outbox.queue); n != 4 {
		t.Errorf("%d host candidates were sent, want 4", n)
	}

	if err := e.sendCandidate(nil); err != nil || len(e.cfg.outbox.queue) != 5 {
		t.Errorf("%d messages were sent, with the end of candidates; want 5 (%v)", len(e.cfg.outbox.queue), err)
	}
}

// This end checks a hole that it has punched even if the other end has used up its quota.
func TestFoundHoleIsCheckedBeyondTheQuota(t *testing.T) {
	p, description := describedPeer(t, webrtc.SDPTypeOffer)
	var said strings.Builder
	log := slog.New(slog.NewTextHandler(&said, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if err := p.setRemote(webrtc.SDPTypeOffer, description, log); err != nil {
		t.Fatal(err)
	}

	for n := range 60 {
		p.addCandidate(handshake.Message{Candidate: fmt.Sprintf("candidate:1 1 udp 1 203.0.113.9 %d typ srflx raddr "+
			"0.0.0.0 rport 9", 1+n), Mid: "0"}, log)
	}
	if n := strings.Count(said.String(), "beyond the limit"); n != 54 {
		t.Errorf("%d were refused, want 54", n)
	}

	before := said.Len()
	check := func(m handshake.Message) { p.check(m, log) }
	newPuncher(p.sockets, check, false, nil, nil, nil, nil, log).found(netip.MustParseAddrPort("203.0.113.7:50001"))
	if said.Len() != before {
		t.Errorf("the hole is not checked: %s", said.String()[before:])
	}
}

// FuzzCandidates: whatever the other end's candidates are, no more of a kind are kept than its quota, and there is room
// for a relayed one that comes last.
func FuzzCandidates(f *testing.F) {
	f.Fuzz(func(t *testing.T, text string) {
		const relayed = "candidate:9 1 udp 1 198.18.255.255 9 typ relay raddr 0.0.0.0 rport 9"
		q, kept := make(quota), map[string]int{}
		for line := range strings.Lines(text + "\n" + relayed) {
			c, err := parseCandidate(strings.TrimSuffix(line, "\n"))
			if err != nil {
				if !errors.Is(err, handshake.ErrMalformed) {
					t.Fatalf("%q: %v", line, err)
				}
				continue
			}

			if q.admit(c) {
				kept[c.Kind()]++
			}
		}

		most := map[string]int{"host": 4, "host4": 4, "host6": 4, "srflx": 6, "srflx4": 6, "srflx6": 6, "relay4": 16}
		for kind, n := range kept {
			if n > most[kind] {
				t.Errorf("%d candidates of kind %s were kept, want at most %d", n, kind, most[kind])
			}
		}

		if kept["relay4"] == 0 {
			t.Error("no relayed candidate was kept")
		}
	})
}
