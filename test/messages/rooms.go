package main

import "strings"

// Who says a sentence.
const (
	saysPage   = "page"
	saysViewer = "viewer"
	saysCamera = "camera"
	saysRelay  = "relay"
	saysDoctor = "doctor"
)

// rooms are the folders whose words reach a person, and who says them.
var rooms = []struct {
	folder string
	says   []string
}{
	{"cmd/viewer", []string{saysViewer}},
	{"viewer", []string{saysViewer}},
	{"cmd/camera", []string{saysCamera}},
	{"cmd/camera-sim", []string{saysCamera}},
	{"cmd/internal/agent", []string{saysCamera}},
	{"camera", []string{saysCamera}},
	{"media", []string{saysCamera}},
	{"cmd/relay", []string{saysRelay}},
	{"relay", []string{saysRelay}},
	{"signaling/server", []string{saysRelay}},
	{"cmd/internal/doctor", []string{saysDoctor}},
	{"cmd/internal/obs", []string{saysViewer, saysCamera, saysRelay}},
	{"session", []string{saysViewer, saysCamera}},
	{"session/handshake", []string{saysViewer, saysCamera}},
	{"session/path", []string{saysViewer, saysCamera}},
	{"session/stream", []string{saysViewer, saysCamera}},
	{"session/turnclient", []string{saysViewer, saysCamera}},
	{"signaling", []string{saysViewer, saysCamera}},
	{"relayurl", []string{saysViewer, saysCamera, saysRelay, saysDoctor}},
	{"crypto/pairing", []string{saysViewer, saysCamera}},
	{"crypto/identity", []string{saysViewer, saysCamera}},
	{"crypto/expiry", []string{saysViewer, saysCamera}},
	{"nat/portmap", []string{saysViewer, saysCamera}},
	{"web/src", []string{saysPage}},
	{"web/static", []string{saysPage}},
}

// saidBy lists who says a sentence, in the order of the table.
func (s *sentence) saidBy() []string {
	has := map[string]bool{}
	for _, p := range s.places {
		folder := p.file[:strings.LastIndexByte(p.file, '/')]
		for _, r := range rooms {
			below := strings.HasPrefix(r.folder, "web/") && strings.HasPrefix(folder, r.folder+"/")
			if folder != r.folder && !below {
				continue
			}
			for _, who := range r.says {
				has[who] = true
			}
		}
	}

	var out []string
	for _, who := range speakers {
		if has[who.name] {
			out = append(out, who.name)
		}
	}

	return out
}
