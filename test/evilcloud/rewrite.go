package evilcloud

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/peephole-cam/peephole/signaling"
)

// Field is one field of one kind of frame, and what a malicious relay writes there.
type Field struct {
	Name    string
	rewrite func(l *Line, f signaling.Frame) (signaling.Frame, bool) // false: not a frame of that kind
}

// Frames is the fault that rewrites the field wherever it occurs.
func (r Field) Frames(l *Line, f signaling.Frame, fromRelay bool) []Said {
	if changed, ok := r.rewrite(l, f); ok {
		return []Said{l.on(changed, fromRelay)}
	}
	return []Said{l.on(f, fromRelay)}
}

// field rewrites a field of one kind of frame.
func field[F signaling.Frame](name string, change func(l *Line, f *F)) Field {
	return Field{name, func(l *Line, f signaling.Frame) (signaling.Frame, bool) {
		one, ok := f.(F)
		if ok {
			change(l, &one)
		}
		return one, ok
	}}
}

// Fields returns all fields that a relay can rewrite, frame by frame (doc/protocol.md, section 5.2).
func Fields() []Field {
	return slices.Concat(clientFields(), relayFields(), grantFields(), refusals())
}

func clientFields() []Field {
	return []Field{
		field("open.id", func(_ *Line, f *signaling.Open) { f.ID++ }),
		field("open.access", func(_ *Line, f *signaling.Open) { f.Access ^= signaling.Read ^ signaling.Write }),
		field("open.read key", func(_ *Line, f *signaling.Open) { f.ReadKey = flipped(f.ReadKey) }),
		field("open.write key", func(_ *Line, f *signaling.Open) { f.WriteKey = flipped(f.WriteKey) }),
		field("open.signature", func(_ *Line, f *signaling.Open) { f.Signature = flipped(f.Signature) }),
		field("open.ticket", func(_ *Line, f *signaling.Open) { f.Ticket = []byte("somebody else's ticket") }),
		field("post.id", func(_ *Line, f *signaling.Post) { f.ID++ }),
		field("post.name", func(l *Line, f *signaling.Post) { f.Name = l.foreign(f.Name) }),
		field("post.ttl", func(_ *Line, f *signaling.Post) { f.TTL = 0 }),
		field("post.body", func(_ *Line, f *signaling.Post) { f.Body = flipped(f.Body) }),
		field("ack.name", func(l *Line, f *signaling.Ack) { f.Name = l.foreign(f.Name) }),
		field("ack.seq", func(_ *Line, f *signaling.Ack) { f.Seq++ }),
		field("grant.id", func(_ *Line, f *signaling.GrantRequest) { f.ID++ }),
		field("grant.region", func(_ *Line, f *signaling.GrantRequest) { f.Region = "elsewhere" }),
		field("grant.name", func(l *Line, f *signaling.GrantRequest) { f.Name = l.foreign(f.Name) }),
		field("close.name", func(l *Line, f *signaling.Close) { f.Name = l.foreign(f.Name) }),
		field("reject.name", func(l *Line, f *signaling.Reject) { f.Name = l.foreign(f.Name) }),
		field("reject.seq", func(_ *Line, f *signaling.Reject) { f.Seq++ }),
		field("revoke.id", func(_ *Line, f *signaling.Revoke) { f.ID++ }),
		field("revoke.name", func(l *Line, f *signaling.Revoke) { f.Name = l.foreign(f.Name) }),
	}
}

func relayFields() []Field {
	return []Field{
		field("challenge.nonce", func(_ *Line, f *signaling.Challenge) { f.Nonce[0] ^= 1 }),
		field("challenge.time", func(_ *Line, f *signaling.Challenge) { f.Time += 400 * day }),
		field("ok.id", func(_ *Line, f *signaling.OK) { f.ID++ }),
		field("deliver.name", func(l *Line, f *signaling.Deliver) { f.Name = l.foreign(f.Name) }),
		field("deliver.seq", func(_ *Line, f *signaling.Deliver) { f.Seq++ }),
		field("deliver.body", func(_ *Line, f *signaling.Deliver) { f.Body = flipped(f.Body) }),
		field("granted.id", func(_ *Line, f *signaling.Granted) { f.ID++ }),
		field("closed.name", func(l *Line, f *signaling.Closed) { f.Name = l.foreign(f.Name) }),
		field("closed.code", func(_ *Line, f *signaling.Closed) { f.Code++ }),
	}
}

func grantFields() []Field {
	change := func(name string, change func(g *signaling.Grant)) Field {
		return field("granted."+name, func(_ *Line, f *signaling.Granted) {
			var g signaling.Grant
			if json.Unmarshal(f.JSON, &g) != nil {
				return
			}
			change(&g)
			if text, err := json.Marshal(g); err == nil {
				f.JSON = text
			}
		})
	}
	return []Field{
		field("granted.json", func(_ *Line, f *signaling.Granted) { f.JSON = []byte(`{"urls":"`) }),
		change("urls", func(g *signaling.Grant) { g.URLs = []string{"turn:127.0.0.1:9?transport=udp"} }),
		change("ttl", func(g *signaling.Grant) { g.TTL = -1 }),
		change("viewer", func(g *signaling.Grant) { g.Viewer.Username += "x" }),
		change("camera", func(g *signaling.Grant) { g.Camera.Credential += "x" }),
	}
}

// refusals turn the OKs of posts and opens into refusals with every code and a malicious text.
func refusals() (all []Field) {
	for _, code := range []signaling.Code{signaling.CodeMalformed, signaling.CodeSignature, signaling.CodeNotOpened,
		signaling.CodeNotAdmitted,
		signaling.CodeTooLarge, signaling.CodeQuota, signaling.CodeClosing, 999} {
		all = append(all, refusal(fmt.Sprintf("refused.code %d", code), 0, code))
	}
	return append(all, refusal("refused.id", 1, signaling.CodeQuota))
}

func refusal(name string, by uint32, code signaling.Code) Field {
	return Field{name, func(_ *Line, f signaling.Frame) (signaling.Frame, bool) {
		ok, is := f.(signaling.OK)
		return signaling.Refused{ID: ok.ID + by, Code: code, Text: Lie}, is
	}}
}

// Lie is what a malicious relay says to people, with bytes that play tricks with a terminal.
const Lie = "\x1b[2Jyour neighbour's camera is now yours\x07"

func flipped(b []byte) []byte {
	b = bytes.Clone(b)
	b[rand.IntN(len(b))] ^= 1 << rand.IntN(8)
	return b
}

// foreign returns a mailbox that somebody else reads, or one that nobody reads if there is none.
func (l *Line) foreign(name signaling.Name) signaling.Name {
	for _, other := range l.others() {
		if reads := other.Reads(); len(reads) > 0 {
			return reads[len(reads)-1]
		}
	}
	name[0] ^= 1
	return name
}
