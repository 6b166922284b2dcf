package signaling

import (
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/peephole-cam/peephole/crypto/label"
	"github.com/peephole-cam/peephole/signaling/region"
)

const (
	// Path is where a relay serves signaling.
	Path = "/v1/signal"
	// Subprotocol is the WebSocket subprotocol (RFC 6455, section 1.9).
	Subprotocol = "peephole.signal.3"
	// MaxFrame is the largest size of a WebSocket message, in bytes.
	MaxFrame = 65536
	// MaxBody is the largest size of a body, in bytes.
	MaxBody = 40000
	// MaxTTL is the longest time for which a relay keeps a message, in seconds.
	MaxTTL = 86400
)

// PairingTicket stands in for a ticket in rendezvous mailboxes, which need none.
const PairingTicket = "pairing"

// ErrFrame is returned for a WebSocket message that is not a frame of this protocol.
var ErrFrame = errors.New("malformed signaling frame")

// Name names a mailbox.
type Name [32]byte

// NameOf returns the name of the mailbox that two public keys make.
func NameOf(read, write ed25519.PublicKey) Name { return label.Hash(label.MailboxName, read, write) }

// Access is what a connection may do with a mailbox.
type Access uint8

// The two kinds of access.
const (
	Read  Access = 1
	Write Access = 2
)

// Code is the reason why a request was refused.
type Code uint16

// The codes of doc/protocol.md, section 5.2.
const (
	CodeMalformed   Code = 400
	CodeSignature   Code = 401
	CodeNotOpened   Code = 403
	CodeNotAdmitted Code = 404
	CodeReplaced    Code = 409
	CodeTooLarge    Code = 413
	CodeQuota       Code = 429
	CodeClosing     Code = 503
)

// Error is a relay's refusal.
type Error struct {
	Code Code
	Text string
}

func (e *Error) Error() string { return fmt.Sprintf("relay: %s (%d)", e.Text, e.Code) }

// Frame is one message of the protocol: one of the types below.
type Frame interface{ append(b []byte) []byte }

// The frames.
type (
	// Challenge is the server's first frame.
	Challenge struct {
		Nonce [32]byte
		Time  uint64 // Unix milliseconds
	}
	// Open asks for access to a mailbox.
	Open struct {
		ID        uint32
		Access    Access
		ReadKey   ed25519.PublicKey
		WriteKey  ed25519.PublicKey
		Signature []byte
		Ticket    []byte
	}
	// Post leaves a body in a mailbox for TTL seconds.
	Post struct {
		ID   uint32
		Name Name
		TTL  uint32
		Body []byte
	}
	// Ack deletes a message.
	Ack struct {
		Name Name
		Seq  uint64
	}
	// GrantRequest asks for ICE servers.
	GrantRequest struct {
		ID     uint32
		Name   Name
		Region string // whose TURN server it should be, by its name in the operator's map; "" means the relay's own
	}
	// Close gives up a mailbox.
	Close struct{ Name Name }
	// Reject says that a delivered message does not belong in its mailbox, because it does not open.
	Reject struct {
		Name Name
		Seq  uint64
	}
	// Revoke ends the admission of a mailbox at once, and deletes the messages in it. Only the client that admitted the
	// mailbox may send it.
	Revoke struct {
		ID   uint32
		Name Name
	}
	// OK answers a request.
	OK struct{ ID uint32 }
	// Refused answers a request.
	Refused struct {
		ID   uint32
		Code Code
		Text string
	}
	// Deliver brings a message.
	Deliver struct {
		Name Name
		Seq  uint64
		Body []byte
	}
	// Granted answers a GrantRequest.
	Granted struct {
		ID   uint32
		JSON []byte
	}
	// Closed says that the server delivers nothing more from a mailbox on this connection.
	Closed struct {
		Name Name
		Code Code
		Text string
	}
)

const (
	typeChallenge byte = 0x01
	typeOpen      byte = 0x10
	typePost      byte = 0x11
	typeAck       byte = 0x12
	typeGrant     byte = 0x13
	typeClose     byte = 0x14
	typeReject    byte = 0x15
	typeRevoke    byte = 0x16
	typeOK        byte = 0x20
	typeRefused   byte = 0x21
	typeDeliver   byte = 0x22
	typeGranted   byte = 0x23
	typeClosed    byte = 0x24
)

// Append appends the encoding of f to b.
func Append(b []byte, f Frame) []byte { return f.append(b) }

func (f Challenge) append(b []byte) []byte {
	return binary.BigEndian.AppendUint64(append(append(b, typeChallenge), f.Nonce[:]...), f.Time)
}

func (f Open) append(b []byte) []byte {
	b = append(binary.BigEndian.AppendUint32(append(b, typeOpen), f.ID), byte(f.Access))
	b = append(append(append(b, f.ReadKey...), f.WriteKey...), f.Signature...)
	return append(binary.BigEndian.AppendUint16(b, uint16(len(f.Ticket))), f.Ticket...)
}

func (f Post) append(b []byte) []byte {
	b = append(binary.BigEndian.AppendUint32(append(b, typePost), f.ID), f.Name[:]...)
	return append(binary.BigEndian.AppendUint32(b, f.TTL), f.Body...)
}

func (f Ack) append(b []byte) []byte {
	return binary.BigEndian.AppendUint64(append(append(b, typeAck), f.Name[:]...), f.Seq)
}

func (f GrantRequest) append(b []byte) []byte {
	b = append(binary.BigEndian.AppendUint32(append(b, typeGrant), f.ID), f.Name[:]...)
	return append(b, f.Region...)
}

func (f Close) append(b []byte) []byte { return append(append(b, typeClose), f.Name[:]...) }

func (f Reject) append(b []byte) []byte {
	return binary.BigEndian.AppendUint64(append(append(b, typeReject), f.Name[:]...), f.Seq)
}

func (f Revoke) append(b []byte) []byte {
	return append(binary.BigEndian.AppendUint32(append(b, typeRevoke), f.ID), f.Name[:]...)
}

func (f OK) append(b []byte) []byte { return binary.BigEndian.AppendUint32(append(b, typeOK), f.ID) }

func (f Refused) append(b []byte) []byte {
	return appendReason(binary.BigEndian.AppendUint32(append(b, typeRefused), f.ID), f.Code, f.Text)
}

func appendReason(b []byte, code Code, text string) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(code))
	return append(binary.BigEndian.AppendUint16(b, uint16(len(text))), text...)
}

func (f Deliver) append(b []byte) []byte {
	b = append(append(b, typeDeliver), f.Name[:]...)
	return append(binary.BigEndian.AppendUint64(b, f.Seq), f.Body...)
}

func (f Granted) append(b []byte) []byte {
	return append(binary.BigEndian.AppendUint32(append(b, typeGranted), f.ID), f.JSON...)
}

func (f Closed) append(b []byte) []byte {
	return appendReason(append(append(b, typeClosed), f.Name[:]...), f.Code, f.Text)
}

// Parse parses a frame, which aliases b. Every error is ErrFrame.
func Parse(b []byte) (Frame, error) {
	if len(b) == 0 || len(b) > MaxFrame {
		return nil, ErrFrame
	}
	r := wireReader{b: b[1:]}
	f := r.frame(b[0])
	if r.failed || f == nil {
		return nil, ErrFrame
	}
	return f, nil
}

func (r *wireReader) frame(kind byte) Frame {
	switch kind {
	case typeChallenge:
		return end(r, Challenge{Nonce: r.name(), Time: r.u64()})
	case typeOpen:
		f := Open{
			ID:        r.u32(),
			Access:    Access(r.next(1)[0]),
			ReadKey:   r.next(32),
			WriteKey:  r.next(32),
			Signature: r.next(64),
		}

		f.Ticket = r.var16()
		r.failed = r.failed || f.Access != Read && f.Access != Write
		return end(r, f)
	case typePost:
		f := Post{ID: r.u32(), Name: r.name(), TTL: r.u32(), Body: r.rest()}
		r.failed = r.failed || len(f.Body) == 0 || f.TTL > MaxTTL
		return f
	case typeAck:
		return end(r, Ack{Name: r.name(), Seq: r.u64()})
	case typeGrant:
		f := GrantRequest{ID: r.u32(), Name: r.name(), Region: string(r.rest())}
		r.failed = r.failed || f.Region != "" && !region.IsName(f.Region)
		return f
	case typeClose:
		return end(r, Close{Name: r.name()})
	case typeReject:
		return end(r, Reject{Name: r.name(), Seq: r.u64()})
	case typeRevoke:
		return end(r, Revoke{ID: r.u32(), Name: r.name()})
	case typeOK:
		return end(r, OK{ID: r.u32()})
	case typeRefused:
		f := Refused{ID: r.u32(), Code: Code(r.u16())}
		f.Text = string(r.var16())
		return end(r, f)
	case typeDeliver:
		f := Deliver{Name: r.name(), Seq: r.u64(), Body: r.rest()}
		r.failed = r.failed || len(f.Body) == 0 || len(f.Body) > MaxBody
		return f
	case typeGranted:
		return Granted{ID: r.u32(), JSON: r.rest()}
	case typeClosed:
		f := Closed{Name: r.name(), Code: Code(r.u16())}
		f.Text = string(r.var16())
		return end(r, f)
	}
	return nil
}

// end returns f, and marks r as failed if bytes are left over.
func end(r *wireReader, f Frame) Frame {
	r.failed = r.failed || len(r.b) != 0
	return f
}

// wireReader reads values from the front of b. Past the end, it returns zeros and sets failed.
type wireReader struct {
	b      []byte
	failed bool
}

func (r *wireReader) next(n int) []byte {
	if len(r.b) < n {
		r.failed, r.b = true, nil
		return make([]byte, n)
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

func (r *wireReader) rest() []byte {
	v := r.b
	r.b = nil
	return v
}

func (r *wireReader) u16() uint16   { return binary.BigEndian.Uint16(r.next(2)) }
func (r *wireReader) u32() uint32   { return binary.BigEndian.Uint32(r.next(4)) }
func (r *wireReader) u64() uint64   { return binary.BigEndian.Uint64(r.next(8)) }
func (r *wireReader) name() Name    { return Name(r.next(32)) }
func (r *wireReader) var16() []byte { return r.next(int(r.u16())) }

// openStatement returns what the signature of an Open covers, besides its label.
func openStatement(origin string, nonce [32]byte, name Name, a Access) []byte {
	b := append(binary.BigEndian.AppendUint16(nil, uint16(len(origin))), origin...)
	b = append(append(b, nonce[:]...), name[:]...)
	return append(b, byte(a))
}

// SignOpen returns a signed Open for a mailbox. origin is the relay URL or, at a camera's own server, the names of both
// ends. The Open is valid only there, and for the connection with this nonce.
func SignOpen(origin string, nonce [32]byte, mb Mailbox, a Access) Open {
	key := mb.Read
	if a == Write {
		key = mb.Write
	}
	return Open{
		Access:    a,
		ReadKey:   mb.Read.Public().(ed25519.PublicKey),
		WriteKey:  mb.Write.Public().(ed25519.PublicKey),
		Ticket:    mb.Ticket,
		Signature: label.Sign(key, label.MailboxOpen, openStatement(origin, nonce, mb.Name(), a)),
	}
}

// Verify reports whether the signature of an Open is valid.
func (f Open) Verify(origin string, nonce [32]byte) bool {
	key := f.ReadKey
	if f.Access == Write {
		key = f.WriteKey
	}
	return label.Verify(key, label.MailboxOpen, openStatement(origin, nonce, NameOf(f.ReadKey, f.WriteKey), f.Access),
		f.Signature)
}
