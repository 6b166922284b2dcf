package path

import "strings"

// Path is the way that a session's media takes.
type Path struct {
	Kind    string // "direct" or "relay"; empty while there is no path
	Why     string // one sentence for a person
	Local   string // type, transport and family of this end's candidate: "host udp4"; no address
	Remote  string // the same of the other end's candidate
	Explain Explain
}

func newPath(e Explain) Path {
	p := Path{Why: e.Summary, Explain: e}
	if e.Selected == nil {
		return p
	}
	p.Kind = "direct"
	if e.Selected.Type.relayed() {
		p.Kind = "relay"
	}

	p.Local, p.Remote = spell(e.Selected.Own), spell(e.Selected.Other)
	return p
}

// Type returns the type of the path. It is empty while there is no path.
func (p Path) Type() Type {
	if p.Explain.Selected == nil {
		return ""
	}
	return p.Explain.Selected.Type
}

// spell returns a candidate's kind with its transport: "host udp4".
func spell(kind string) string {
	typ := strings.TrimRight(kind, "46")
	family := kind[len(typ):]
	if name, ok := strings.CutSuffix(typ, "-tcp"); ok {
		return name + " tcp" + family
	}
	return typ + " udp" + family
}
