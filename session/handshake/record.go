package handshake

import (
	"crypto/cipher"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"sync"

	"golang.org/x/time/rate"

	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/crypto/label"
	"github.com/peephole-cam/peephole/nat"
	"github.com/peephole-cam/peephole/nat/punch"
)

// ErrTooFast is returned for a record that opens but exceeds the rate at which the other end may send.
var ErrTooFast = errors.New("records come too fast: not obeyed")

const (
	// recordsAtOnce and recordsPerSecond bound the records that this end obeys, on both channels together. A start
	// takes about forty, and after it there are a few a second.
	recordsAtOnce    = 192
	recordsPerSecond = 16
)

// ErrRecord is returned for a record that does not open.
var ErrRecord = errors.New("record does not open")

// channel is where a record travels.
type channel byte

const (
	signalingChannel channel = 1
	dataChannel      channel = 2
)

const (
	// recordVersion differs from the first byte of an envelope and from that of a chunk, which come through the same
	// mailbox. Version 1 had counters that must rise.
	recordVersion = 3
	recordHeader  = 9
	minRecord     = recordHeader + 16 // an empty record, with AES-GCM's tag
	// maxRecord bounds a record in bytes, both when sealing and when opening. The longest status or candidate is far
	// shorter.
	maxRecord = 4096
)

// Message is the plaintext of a record. Type says which other fields count.
type Message struct {
	Type      string `json:"type"`
	Candidate string `json:"candidate,omitempty"`
	Mid       string `json:"mid,omitempty"`
	Challenge Blob   `json:"challenge,omitempty"`
	// with a challenge: what percentage of the time since the last challenge the viewer waited for a processor
	Busy   int    `json:"busy,omitempty"`
	Name   string `json:"name,omitempty"`
	Code   string `json:"code,omitempty"`
	Text   string `json:"text,omitempty"`
	Reason string `json:"reason,omitempty"`

	Certificate Blob `json:"certificate,omitempty"` // its SHA-256 [32]

	Network *Network   `json:"network,omitempty"`
	Punch   *PunchSide `json:"punch,omitempty"`
	Sending *SendStats `json:"sending,omitempty"`
	Relays  *RelayList `json:"relays,omitempty"`
}

// Network is what an end tells the other end about its own network. It holds no address.
type Network struct {
	Mapping nat.Mapping `json:"mapping"`
	UDP     string      `json:"udp"`
	Relay   string      `json:"relay,omitempty"` // its way to the relay: the one in use, or else the best
	Punch   bool        `json:"punch,omitempty"` // this end can guess ports
}

// These are the values of Network.UDP, which tells whether UDP gets out of an end's network.
const (
	UDPOpen    = "open"
	UDPBlocked = "blocked"
	UDPUnknown = "unknown"
)

// Plausible returns n without the values that this version does not know.
func (n Network) Plausible() Network {
	if !n.Mapping.Known() {
		n.Mapping = nat.UnknownMapping
	}
	if n.UDP != UDPOpen && n.UDP != UDPBlocked {
		n.UDP = UDPUnknown
	}
	if n.Relay != "udp" && n.Relay != "tcp" && n.Relay != "tls" {
		n.Relay = ""
	}
	return n
}

// PunchSide is what an end tells the other end before both guess ports (doc/protocol.md, section 6.4).
type PunchSide struct {
	At     netip.AddrPort `json:"at"`
	Ports  punch.Ports    `json:"ports"`
	Stride uint16         `json:"stride,omitempty"`
	Token  Blob           `json:"token"`
}

// SendStats describes how a camera's end of a session sends. The camera tells the viewer now and then.
type SendStats struct {
	Rate      int  `json:"rate_kbps"`     // the rate that the path seems to carry
	Limited   bool `json:"limited"`       // Rate was measured, because the camera has reached the path's limit
	RoundTrip int  `json:"round_trip_ms"` // without the queues on the way to the viewer
	Again     int  `json:"sent_again"`    // packets sent again
	LeftOut   int  `json:"left_out"`      // pictures that the path did not carry
	Lower     bool `json:"lower"`         // the camera sends its lower stream
}

// recordKey is the key of one direction of one channel. The nonce is iv XOR counter (TLS 1.3, RFC 8446 section 5.3).
// The key belongs only to this session, channel and direction, and its sender counts up, so no nonce is used twice.
type recordKey struct {
	aead cipher.AEAD
	iv   [12]byte
}

func (s *Secret) recordKey(c channel, d envelope.Direction) recordKey {
	material := label.KDF(nil, s.key, label.Record, []byte{byte(c), byte(d)}, 44)
	k := recordKey{aead: label.NewAEAD(material[:32])}
	copy(k.iv[:], material[32:])
	return k
}

func (k *recordKey) nonce(counter uint64) []byte {
	n := k.iv
	binary.BigEndian.PutUint64(n[4:], binary.BigEndian.Uint64(n[4:])^counter)
	return n[:]
}

// recordSender seals the records of one direction. It is safe for concurrent use.
type recordSender struct {
	mu   sync.Mutex
	key  recordKey
	next uint64 // guarded by mu
}

func (s *recordSender) seal(m Message) ([]byte, error) {
	plaintext, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode record: %w", err)
	}
	if len(plaintext) > maxRecord-minRecord {
		return nil, fmt.Errorf("encode record: %d bytes, at most %d: %w", len(plaintext), maxRecord-minRecord,
			ErrMalformed)
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	header := binary.BigEndian.AppendUint64([]byte{recordVersion}, s.next)
	sealed := s.key.aead.Seal(header, s.key.nonce(s.next), plaintext, header)
	s.next++
	return sealed, nil
}

// recordReceiver opens the records of one direction, in any order, each once. One goroutine uses it.
type recordReceiver struct {
	key       recordKey
	window    recordWindow
	newest    map[string]uint64 // the counter of the newest record of each type of which only the newest counts
	allowance *rate.Limiter     // shared by both channels
}

func (r *recordReceiver) open(wire []byte) (Message, error) {
	if len(wire) < recordHeader+r.key.aead.Overhead() || len(wire) > maxRecord || wire[0] != recordVersion {
		return Message{}, ErrRecord
	}
	counter := binary.BigEndian.Uint64(wire[1:])
	plaintext, err := r.key.aead.Open(nil, r.key.nonce(counter), wire[recordHeader:], wire[:recordHeader])
	if err != nil {
		return Message{}, ErrRecord
	}

	// Copies are not charged to the allowance: a way that repeats records must not silence the other ways.
	if err := r.window.accept(counter); err != nil {
		return Message{}, err
	}
	if !r.allowance.Allow() {
		return Message{}, ErrTooFast
	}

	var m Message
	if err := json.Unmarshal(plaintext, &m); err != nil {
		return Message{}, fmt.Errorf("parse record: %w", errors.Join(ErrMalformed, err))
	}
	if r.replaced(m.Type, counter) {
		return Message{}, ErrRecordLate
	}
	return m, nil
}

// replaced reports whether a record with a newer state of the same kind has opened already. It notes the counter if
// not. Records of the other types add to each other or end the session, so that their order does not matter.
func (r *recordReceiver) replaced(kind string, counter uint64) bool {
	switch kind {
	case "challenge", "status", "sending", "network", "relays":
	default:
		return false
	}

	if newest, ok := r.newest[kind]; ok && counter < newest {
		return true
	}
	if r.newest == nil {
		r.newest = make(map[string]uint64)
	}
	r.newest[kind] = counter
	return false
}

// RecordChannel seals and opens the records of one channel at one end.
type RecordChannel struct {
	out *recordSender
	in  *recordReceiver
}

// Seal seals a record for the other end. It is safe for concurrent use.
func (c RecordChannel) Seal(m Message) ([]byte, error) { return c.out.seal(m) }

// Open opens a record of the other end. One goroutine calls it.
func (c RecordChannel) Open(wire []byte) (Message, error) { return c.in.open(wire) }

// RecordKeys are one end's keys for both channels, in both directions.
type RecordKeys struct{ Signaling, Data RecordChannel }

// RecordKeys derives the keys of the end that sends its records in direction out.
func (s *Secret) RecordKeys(out envelope.Direction) *RecordKeys {
	in := envelope.ToCamera
	if out == envelope.ToCamera {
		in = envelope.ToViewer
	}
	allowance := rate.NewLimiter(recordsPerSecond, recordsAtOnce)
	of := func(c channel) RecordChannel {
		return RecordChannel{
			out: &recordSender{key: s.recordKey(c, out)},
			in:  &recordReceiver{key: s.recordKey(c, in), allowance: allowance},
		}
	}

	return &RecordKeys{Signaling: of(signalingChannel), Data: of(dataChannel)}
}
