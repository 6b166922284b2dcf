package envelope

import (
	"crypto/hpke"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/peephole-cam/peephole/crypto/identity"
	"github.com/peephole-cam/peephole/crypto/label"
)

var (
	// ErrNotForUs is returned for an envelope that does not open: it belongs to another pair, mailbox, day or
	// direction, or it was tampered with.
	ErrNotForUs = errors.New("envelope does not open: it is not from the other end of this pair, or not for here")
	// ErrVersion is returned for an envelope of a version this program does not know.
	ErrVersion = errors.New("envelope of an unknown version: update this program")
	// ErrExpired is returned for an envelope that opened too late, by this device's clock.
	ErrExpired = errors.New("envelope has expired: it was held back, or a clock is wrong")
	// ErrSize is returned for a body that fits no envelope, or that is padded to the wrong size.
	ErrSize = errors.New("message of a wrong size for an envelope")
	// ErrLife is returned for a message that would be valid for longer than MaxLife.
	ErrLife = errors.New("message that is good for too long")
	// ErrType is returned for a type that this mailbox does not carry, or that this program does not know.
	ErrType = errors.New("message of a type that does not belong here")
)

const (
	version      = 1
	tagSize      = 8
	encSize      = 1120
	headerSize   = 1 + tagSize + encSize
	aeadOverhead = 16
	innerHeader  = 16 + 8 + 1 + 8 + 8 + 4
	clockSkew    = 2 * time.Minute
)

// buckets are the only sizes of a plaintext, so that a ciphertext's length says little.
var buckets = [...]int{512, 2048, 8192, 32768}

// MaxLife bounds how long an envelope is valid after it was sent, whatever its sender says. So nobody can replay a
// recorded envelope years later, and a receiver can eventually forget what it has accepted.
const MaxLife = 10 * time.Minute

// MaxBody is the longest body in bytes.
const MaxBody = 32768 - innerHeader

// Type is the kind of message that an envelope carries.
type Type uint8

// The types of doc/protocol.md, section 4.
const (
	TypeWelcome Type = 1
	TypeOffer   Type = 2
	TypeAnswer  Type = 3
	TypeRefuse  Type = 4
)

// Message is the content of an envelope.
type Message struct {
	Session SessionID
	Seq     uint64
	Type    Type
	Sent    time.Time // to the millisecond
	Expiry  time.Time // to the millisecond; at most MaxLife after Sent
	Body    []byte    // at most MaxBody bytes
}

// Sealed is an envelope as it travels, with what its sender keeps.
type Sealed struct {
	Wire          []byte
	SessionExport Secret // an offer's part of the session secret
}

// Opened is an opened envelope.
type Opened struct {
	Message
	ReplayMark    [32]byte // the same for every copy of this envelope and for no other
	SessionExport Secret
}

// ExpiredError is an ErrExpired with the message, which is valid otherwise: the other end of the pair sealed it for
// this mailbox. Use the message only if something else proves that it is not old.
type ExpiredError struct{ Opened Opened }

func (*ExpiredError) Error() string { return ErrExpired.Error() }

// Unwrap returns ErrExpired.
func (*ExpiredError) Unwrap() error { return ErrExpired }

// Pair is one device's half of a pair.
type Pair struct {
	Self          *identity.Private
	Role          identity.Role // of Self
	Peer          identity.Bundle
	Secret        Secret // the pair secret
	MailboxSecret Secret
}

// Camera returns the fingerprint of the pair's camera.
func (p *Pair) Camera() identity.Fingerprint { return p.bundle(identity.Camera).Fingerprint() }

// Viewer returns the fingerprint of the pair's viewer.
func (p *Pair) Viewer() identity.Fingerprint { return p.bundle(identity.Viewer).Fingerprint() }

func (p *Pair) bundle(r identity.Role) identity.Bundle {
	if p.Role == r {
		return p.Self.Bundle()
	}
	return p.Peer
}

// context is everything that an envelope is bound to but does not carry.
func (p *Pair) context(box Mailbox) []byte {
	camera, viewer := p.Camera(), p.Viewer()
	c := append([]byte{version}, camera[:]...)
	c = append(c, viewer[:]...)
	c = append(c, byte(box.direction), byte(box.scope))
	c = binary.BigEndian.AppendUint32(c, box.epoch)
	return append(c, box.Name[:]...)
}

func (p *Pair) tag(context []byte, recipient hpke.PublicKey) []byte {
	key := sha256.Sum256(recipient.Bytes())
	return label.KDF(nil, p.Secret[:], label.PrekeyTag, append(context[:len(context):len(context)], key[:]...), tagSize)
}

// exporter is either end's HPKE context.
type exporter interface {
	Export(exporterContext string, length int) ([]byte, error)
}

// keys derives an envelope's AEAD key and nonce, and the session export. Key and nonce come from a fresh encapsulation
// and seal one message: the nonce is never used twice.
func (p *Pair) keys(e exporter, context []byte) (key, nonce []byte, session Secret, err error) {
	export, err1 := e.Export(label.Prefix+string(label.EnvelopeKey), 32)
	sess, err2 := e.Export(label.Prefix+string(label.EnvelopeSession), 32)
	if err := errors.Join(err1, err2); err != nil {
		return nil, nil, session, fmt.Errorf("export envelope keys: %w", err)
	}

	material := label.KDF(p.Secret[:], export, label.Envelope, context, 44)
	return material[:32], material[32:], Secret(sess), nil
}

// Seal seals m for the other end, through box. It refuses a mailbox of a pairing, and one that leads to this end.
func (p *Pair) Seal(box Mailbox, m Message) (Sealed, error) {
	if box.scope == pairingScope || box.direction != To(p.Role.Other()) {
		return Sealed{}, fmt.Errorf("seal envelope: not a mailbox to the other end")
	}
	if !box.carries(m.Type, m.Session) {
		return Sealed{}, fmt.Errorf("seal envelope: type %d: %w", m.Type, ErrType)
	}
	if m.livesTooLong() {
		return Sealed{}, fmt.Errorf("seal envelope: %w", ErrLife)
	}

	inner, err := m.pad()
	if err != nil {
		return Sealed{}, fmt.Errorf("seal envelope: %w", err)
	}
	return p.seal(box, inner)
}

func (p *Pair) seal(box Mailbox, inner []byte) (Sealed, error) {
	context := p.context(box)
	enc, sender, err := hpke.NewSender(p.Peer.KEM(), hpke.HKDFSHA256(), hpke.ExportOnly(), label.Envelope.Info(context))
	if err != nil {
		return Sealed{}, fmt.Errorf("seal envelope: %w", err)
	}
	key, nonce, session, err := p.keys(sender, context)
	if err != nil {
		return Sealed{}, fmt.Errorf("seal envelope: %w", err)
	}

	header := slices.Concat([]byte{version}, p.tag(context, p.Peer.KEM()), enc)
	return Sealed{Wire: label.NewAEAD(key).Seal(header, nonce, inner, header), SessionExport: session}, nil
}

// Open opens what came through box. It refuses a mailbox that does not lead to this end, so that a reflected envelope
// does not open. now is this device's clock, which must never be earlier than the last time that it persisted. An
// [ExpiredError] means that only the date is wrong.
func (p *Pair) Open(box Mailbox, wire []byte, now time.Time) (Opened, error) {
	context, err := p.addressed(box, wire)
	if err != nil {
		return Opened{}, err
	}
	enc := wire[1+tagSize : headerSize]
	recipient, err := hpke.NewRecipient(enc, p.Self.KEM(), hpke.HKDFSHA256(), hpke.ExportOnly(),
		label.Envelope.Info(context))
	if err != nil {
		return Opened{}, ErrNotForUs
	}

	key, nonce, session, err := p.keys(recipient, context)
	if err != nil {
		return Opened{}, ErrNotForUs
	}
	inner, err := label.NewAEAD(key).Open(nil, nonce, wire[headerSize:], wire[:headerSize])
	if err != nil {
		return Opened{}, ErrNotForUs
	}

	m, err := unpad(inner)
	if err != nil {
		return Opened{}, fmt.Errorf("read envelope: %w", err)
	}
	if !box.carries(m.Type, m.Session) {
		return Opened{}, fmt.Errorf("read envelope: type %d: %w", m.Type, ErrType)
	}
	if m.livesTooLong() {
		return Opened{}, fmt.Errorf("read envelope: %w", ErrLife)
	}

	opened := Opened{Message: m, ReplayMark: sha256.Sum256(enc), SessionExport: session}
	if now.After(m.Expiry.Add(clockSkew)) {
		return Opened{}, &ExpiredError{opened}
	}
	return opened, nil
}

// Addressed returns nil for an envelope that seems to be meant for this end, through box; for any other it returns the
// error that Open would return. It uses no private key and proves nothing: anybody who has seen one envelope in a
// mailbox can copy its tag.
func (p *Pair) Addressed(box Mailbox, wire []byte) error {
	_, err := p.addressed(box, wire)
	return err
}

// addressed returns the context of an envelope that seems to be meant for this end.
func (p *Pair) addressed(box Mailbox, wire []byte) (context []byte, err error) {
	if box.scope == pairingScope || box.direction != To(p.Role) || len(wire) == 0 {
		return nil, ErrNotForUs
	}
	if wire[0] != version {
		return nil, ErrVersion
	}
	if !hasSize(len(wire)) {
		return nil, ErrNotForUs
	}

	context = p.context(box)
	if subtle.ConstantTimeCompare(wire[1:1+tagSize], p.tag(context, p.Self.KEM().PublicKey())) != 1 {
		return nil, ErrNotForUs
	}
	return context, nil
}

// livesTooLong reports whether m would be valid for longer than MaxLife.
func (m Message) livesTooLong() bool { return m.Expiry.After(m.Sent.Add(MaxLife)) }

// Foreign reports whether an error of Open means that the envelope is not from this pair, or not for this mailbox. The
// other end sealed anything else that Open refuses, for this mailbox: it came too late, or that end made a mistake.
func Foreign(err error) bool { return errors.Is(err, ErrNotForUs) || errors.Is(err, ErrVersion) }

// hasSize reports whether an envelope can have n bytes.
func hasSize(n int) bool { return slices.Contains(buckets[:], n-headerSize-aeadOverhead) }

// pad encodes m and pads it to the next bucket.
func (m Message) pad() ([]byte, error) {
	size := bucketOf(len(m.Body))
	if size == 0 {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrSize, len(m.Body), MaxBody)
	}
	b := make([]byte, 0, size)
	b = append(b, m.Session[:]...)
	b = binary.BigEndian.AppendUint64(b, m.Seq)
	b = append(b, byte(m.Type))
	b = binary.BigEndian.AppendUint64(b, uint64(m.Sent.UnixMilli()))
	b = binary.BigEndian.AppendUint64(b, uint64(m.Expiry.UnixMilli()))
	b = binary.BigEndian.AppendUint32(b, uint32(len(m.Body)))
	b = append(b, m.Body...)

	return b[:size], nil
}

// bucketOf returns the smallest bucket that holds a body of n bytes, or 0.
func bucketOf(n int) int {
	for _, size := range buckets {
		if n <= size-innerHeader {
			return size
		}
	}
	return 0
}

// unpad decodes what pad returned. Its author holds the pair secret, so a fault here is the other end's.
func unpad(b []byte) (Message, error) {
	var m Message
	if !slices.Contains(buckets[:], len(b)) {
		return m, ErrSize
	}

	copy(m.Session[:], b)
	m.Seq = binary.BigEndian.Uint64(b[16:])
	m.Type = Type(b[24])
	m.Sent = time.UnixMilli(int64(binary.BigEndian.Uint64(b[25:])))
	m.Expiry = time.UnixMilli(int64(binary.BigEndian.Uint64(b[33:])))
	n := binary.BigEndian.Uint32(b[41:])
	if n > MaxBody || bucketOf(int(n)) != len(b) {
		return m, ErrSize
	}

	m.Body = b[innerHeader : innerHeader+int(n)]
	for _, zero := range b[innerHeader+int(n):] {
		if zero != 0 {
			return m, fmt.Errorf("%w: padding is not zero", ErrSize)
		}
	}

	return m, nil
}
