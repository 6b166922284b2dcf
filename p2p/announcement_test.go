package p2p

import (
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

var testAnnouncement = announcement{
	label: labelOf(publicKey(testKey("today"))),
	port:  40404,
	addresses: []netip.Prefix{
		netip.MustParsePrefix("192.168.1.7/24"),
		netip.MustParsePrefix("2001:db8::7/64"),
	},
}

func message(t testing.TB, a announcement, life uint32) []byte {
	t.Helper()
	m, err := a.message(life)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestAnnouncementIsHeard: the label and the port, until it is taken back.
func TestAnnouncementIsHeard(t *testing.T) {
	a := testAnnouncement
	if got := announced(message(t, a, recordLife)); len(got) != 1 || got[a.label] != a.port {
		t.Errorf("heard %v, want port %d of %s", got, a.port, a.label)
	}
	if got := announced(message(t, a, 0)); len(got) != 0 {
		t.Errorf("heard %v when it was taken back", got)
	}
}

// TestQuestionIsAnswered: who asks for cameras, or for this one, unless he knows it.
func TestQuestionIsAnswered(t *testing.T) {
	label := testAnnouncement.label
	all, err := question()
	if err != nil {
		t.Fatal(err)
	}
	ask := func(name string, known ...string) []byte {
		m := dnsmessage.Message{Questions: []dnsmessage.Question{{
			Name:  dnsmessage.MustNewName(name),
			Type:  dnsmessage.TypeALL,
			Class: dnsmessage.ClassINET,
		}}}
		for _, k := range known {
			m.Answers = append(m.Answers, dnsmessage.Resource{
				Header: dnsmessage.ResourceHeader{Name: dnsmessage.MustNewName(service), TTL: recordLife},
				Body:   &dnsmessage.PTRResource{PTR: dnsmessage.MustNewName(k)},
			})
		}
		data, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		return data
	}

	for name, tt := range map[string]struct {
		message []byte
		want    bool
	}{
		"for all cameras":          {all, true},
		"for this one":             {ask(label + "." + service), true},
		"for its host, in capital": {ask(strings.ToUpper(label) + ".local."), true},
		"for another":              {ask("another." + service), false},
		"for printers":             {ask("_ipp._tcp.local."), false},
		"knowing this one":         {ask(service, label+"."+service), false},
		"knowing another":          {ask(service, "another."+service), true},
		"an answer":                {message(t, testAnnouncement, recordLife), false},
		"nothing":                  {nil, false},
	} {
		if got := asks(tt.message, label); got != tt.want {
			t.Errorf("%s: asks %v, want %v", name, got, tt.want)
		}
	}
}

// FuzzMessage: whatever a stranger on the LAN sends, little is kept, no port is 0, and a message is a question or an
// answer.
func FuzzMessage(f *testing.F) {
	q, err := question()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(q)
	f.Add(message(f, testAnnouncement, recordLife))
	f.Fuzz(func(t *testing.T, data []byte) {
		ports := announced(data)
		if len(ports) > maxRecords || len(ports) > 0 && asks(data, testAnnouncement.label) {
			t.Errorf("heard %v", ports)
		}
		for label, port := range ports {
			if port == 0 || label != strings.ToLower(label) || len(label) > 255 {
				t.Errorf("heard port %d of %q", port, label)
			}
		}
	})
}
