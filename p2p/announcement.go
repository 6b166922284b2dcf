package p2p

import (
	"crypto/ed25519"
	"encoding/base32"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"golang.org/x/net/dns/dnsmessage"
)

// service is what cameras are asked for, by DNS-SD (RFC 6763) over mDNS (RFC 6762).
const service = "_peephole._udp.local."

const (
	// maxMessage bounds a message in bytes. Ours are far shorter.
	maxMessage = 2 << 10

	// maxRecords bounds the questions and the records that are looked at in one message.
	maxRecords = 32

	// recordLife is how long others may remember a record, in seconds (RFC 6762, section 10).
	recordLife = 120

	// unique marks a record that replaces all others of its name and type (RFC 6762, section 10.2). In a question it
	// asks for an answer to the asker alone (section 5.4), which is not given.
	unique = 1 << 15
)

var errMessage = errors.New("no message of mDNS")

// labels spells a host key as a label of DNS: 52 characters.
var labels = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// labelOf returns the label of a host key.
func labelOf(key ed25519.PublicKey) string { return labels.EncodeToString(key) }

// announcement is what a camera says on one link: its key, its port, and its addresses there.
type announcement struct {
	label     string
	port      uint16
	addresses []netip.Prefix
}

// message returns the announcement as a response of mDNS, to be remembered for life seconds; 0 takes it back.
func (a announcement) message(life uint32) ([]byte, error) {
	b := dnsmessage.NewBuilder(nil, dnsmessage.Header{Response: true, Authoritative: true})
	b.EnableCompression()
	if err := b.StartAnswers(); err != nil {
		return nil, err
	}
	instance, err := dnsmessage.NewName(a.label + "." + service)
	if err != nil {
		return nil, fmt.Errorf("name camera: %w", err)
	}
	host, err := dnsmessage.NewName(a.label + ".local.")
	if err != nil {
		return nil, fmt.Errorf("name camera: %w", err)
	}

	header := func(name dnsmessage.Name, class dnsmessage.Class) dnsmessage.ResourceHeader {
		return dnsmessage.ResourceHeader{Name: name, Class: class, TTL: life}
	}
	const own = dnsmessage.ClassINET | unique
	shared := header(dnsmessage.MustNewName(service), dnsmessage.ClassINET)
	err = errors.Join(
		b.PTRResource(shared, dnsmessage.PTRResource{PTR: instance}),
		b.SRVResource(header(instance, own), dnsmessage.SRVResource{Port: a.port, Target: host}),
		b.TXTResource(header(instance, own), dnsmessage.TXTResource{TXT: []string{""}}),
	)
	for _, p := range a.addresses {
		if ip := p.Addr(); ip.Is4() {
			err = errors.Join(err, b.AResource(header(host, own), dnsmessage.AResource{A: ip.As4()}))
		} else {
			err = errors.Join(err, b.AAAAResource(header(host, own), dnsmessage.AAAAResource{AAAA: ip.As16()}))
		}
	}
	if err != nil {
		return nil, fmt.Errorf("write announcement: %w", err)
	}

	return b.Finish()
}

// question returns the message that asks for cameras.
func question() ([]byte, error) {
	b := dnsmessage.NewBuilder(nil, dnsmessage.Header{})
	err := errors.Join(b.StartQuestions(), b.Question(dnsmessage.Question{
		Name:  dnsmessage.MustNewName(service),
		Type:  dnsmessage.TypePTR,
		Class: dnsmessage.ClassINET,
	}))
	if err != nil {
		return nil, fmt.Errorf("write question: %w", err)
	}
	return b.Finish()
}

// asks reports whether a message asks for a camera with this label: for all cameras, or for one of its records. Who
// already knows the camera (RFC 6762, section 7.1) does not ask.
func asks(message []byte, label string) bool {
	p, header, err := start(message)
	if err != nil || header.Response {
		return false
	}

	var asked bool
	for i := 0; ; i++ {
		q, err := p.Question()
		if errors.Is(err, dnsmessage.ErrSectionDone) {
			break
		}
		if err != nil || i >= maxRecords {
			return false
		}
		name := strings.ToLower(q.Name.String())
		asked = asked || name == service || name == label+"."+service || name == label+".local."
	}

	return asked && !known(p, label)
}

// known reports whether the answers of a question have the camera already, for half its life at least.
func known(p *dnsmessage.Parser, label string) bool {
	for range maxRecords {
		h, err := p.AnswerHeader()
		if err != nil {
			return false
		}
		if h.Type != dnsmessage.TypePTR || h.TTL < recordLife/2 {
			if p.SkipAnswer() != nil {
				return false
			}
			continue
		}
		r, err := p.PTRResource()
		if err != nil {
			return false
		}
		if strings.EqualFold(r.PTR.String(), label+"."+service) {
			return true
		}
	}
	return false
}

// start begins to read a message, and checks what every message of mDNS has in common (RFC 6762, section 18).
func start(message []byte) (*dnsmessage.Parser, dnsmessage.Header, error) {
	var p dnsmessage.Parser
	if len(message) > maxMessage {
		return nil, dnsmessage.Header{}, errMessage
	}
	h, err := p.Start(message)
	if err != nil || h.OpCode != 0 || h.RCode != dnsmessage.RCodeSuccess {
		return nil, h, errMessage
	}
	return &p, h, nil
}

// announced returns the labels and ports of the cameras that a message announces. Addresses in it are not read: a
// camera is where its announcement came from.
func announced(message []byte) (ports map[string]uint16) {
	p, header, err := start(message)
	if err != nil || !header.Response || p.SkipAllQuestions() != nil {
		return nil
	}

	ports = make(map[string]uint16)
	left := maxRecords
	for _, section := range []struct {
		header func() (dnsmessage.ResourceHeader, error)
		skip   func() error
	}{
		{p.AnswerHeader, p.SkipAnswer},
		{p.AuthorityHeader, p.SkipAuthority},
		{p.AdditionalHeader, p.SkipAdditional},
	} {
		for {
			h, err := section.header()
			if errors.Is(err, dnsmessage.ErrSectionDone) {
				break
			}
			if left--; err != nil || left < 0 {
				return ports
			}

			label, ours := strings.CutSuffix(strings.ToLower(h.Name.String()), "."+service)
			if h.Type != dnsmessage.TypeSRV || !ours || h.TTL == 0 {
				err = section.skip()
			} else {
				err = readPort(p, label, ports)
			}
			if err != nil {
				return ports
			}
		}
	}

	return ports
}

// readPort reads the record at hand, which says on which port a camera listens.
func readPort(p *dnsmessage.Parser, label string, ports map[string]uint16) error {
	r, err := p.SRVResource()
	if err == nil && r.Port != 0 {
		ports[label] = r.Port
	}
	return err
}
