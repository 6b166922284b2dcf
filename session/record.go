package session

import (
	"crypto/cipher"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/crypto/label"
)

// ErrRecord is returned for a record that does not open, or whose counter is not above the last one.
var ErrRecord = errors.New("record does not open")

// channel is where records travel.
type channel byte

const (
	signalingChannel channel = 1
	dataChannel      channel = 2
)

const (
	recordVersion = 1
	recordHeader  = 9
	recordLeast   = recordHeader + 16 // with AES-GCM's tag and nothing in it
	// recordMax bounds a record in bytes: the longest status or candidate is far below it.
	recordMax = 4096
)

// message is the plaintext of a record. Type says which other fields count.
type message struct {
	Type      string `json:"type"`
	Candidate string `json:"candidate,omitempty"`
	Mid       string `json:"mid,omitempty"`
	Challenge blob   `json:"challenge,omitempty"`
	Name      string `json:"name,omitempty"`
	Code      string `json:"code,omitempty"`
	Text      string `json:"text,omitempty"`
	Reason    string `json:"reason,omitempty"`

	Network *network   `json:"network,omitempty"`
	Punch   *punchSide `json:"punch,omitempty"`
	Sending *Sending   `json:"sending,omitempty"`
}

// recordKey is one direction of one channel. The nonce is iv XOR counter (TLS 1.3, RFC 8446 section 5.3): the key
// is of this session, channel and direction alone and the counter only rises, so no nonce is used twice.
type recordKey struct {
	aead cipher.AEAD
	iv   [12]byte
}

func (s *secret) recordKey(c channel, d envelope.Direction) recordKey {
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

// recordSender seals the records of one direction; safe for concurrent use.
type recordSender struct {
	mu   sync.Mutex
	key  recordKey
	next uint64 // guarded by mu
}

func (s *recordSender) seal(m message) ([]byte, error) {
	plaintext, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode record: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	header := binary.BigEndian.AppendUint64([]byte{recordVersion}, s.next)
	sealed := s.key.aead.Seal(header, s.key.nonce(s.next), plaintext, header)
	s.next++
	return sealed, nil
}

// recordReceiver opens the records of one direction, in order. One goroutine uses it.
type recordReceiver struct {
	key  recordKey
	next uint64 // the lowest counter still acceptable
}

func (r *recordReceiver) open(wire []byte) (message, error) {
	if len(wire) < recordHeader+r.key.aead.Overhead() || len(wire) > recordMax || wire[0] != recordVersion {
		return message{}, ErrRecord
	}
	counter := binary.BigEndian.Uint64(wire[1:])
	if counter < r.next || counter == ^uint64(0) {
		return message{}, ErrRecord
	}
	plaintext, err := r.key.aead.Open(nil, r.key.nonce(counter), wire[recordHeader:], wire[:recordHeader])
	if err != nil {
		return message{}, ErrRecord
	}
	r.next = counter + 1
	var m message
	if err := json.Unmarshal(plaintext, &m); err != nil {
		return message{}, fmt.Errorf("parse record: %w", errors.Join(ErrMalformed, err))
	}
	return m, nil
}

// recordKeys are one end's keys for both channels, each way.
type recordKeys struct {
	signaling struct {
		out *recordSender
		in  *recordReceiver
	}
	data struct {
		out *recordSender
		in  *recordReceiver
	}
}

// recordKeys derives the keys of the end whose records go in direction out.
func (s *secret) recordKeys(out envelope.Direction) *recordKeys {
	in := envelope.ToCamera
	if out == envelope.ToCamera {
		in = envelope.ToViewer
	}
	k := new(recordKeys)
	k.signaling.out, k.signaling.in = &recordSender{key: s.recordKey(signalingChannel, out)}, &recordReceiver{key: s.recordKey(signalingChannel, in)}
	k.data.out, k.data.in = &recordSender{key: s.recordKey(dataChannel, out)}, &recordReceiver{key: s.recordKey(dataChannel, in)}
	return k
}
