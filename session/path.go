package session

import "strings"

// Path is the way a session's media takes.
type Path struct {
	Kind    string // "direct" or "relay"; empty while there is none
	Why     string // one sentence for a person
	Local   string // own candidate's type, transport and family: "host udp4"; no address
	Remote  string // the other end's
	Explain Explain
}

func newPath(e Explain) Path {
	p := Path{Why: e.Sentence, Explain: e}
	if e.Selected == nil {
		return p
	}
	p.Kind = "direct"
	if e.Selected.Rung.relayed() {
		p.Kind = "relay"
	}
	p.Local, p.Remote = spell(e.Selected.Own), spell(e.Selected.Other)
	return p
}

// Rung is the path's, or empty.
func (p Path) Rung() Rung {
	if p.Explain.Selected == nil {
		return ""
	}
	return p.Explain.Selected.Rung
}

// spell is a candidate's kind with its transport: "host udp4".
func spell(kind string) string {
	typ := strings.TrimRight(kind, "46")
	family := kind[len(typ):]
	if name, ok := strings.CutSuffix(typ, "-tcp"); ok {
		return name + " tcp" + family
	}
	return typ + " udp" + family
}
