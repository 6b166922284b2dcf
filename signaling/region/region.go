package region

import (
	"fmt"
	"strings"

	"github.com/peephole-cam/peephole/relayurl"
)

// maxName is the maximum length of a region's name, in bytes.
const maxName = 32

// Region is one region of an operator: one or more relay processes behind one URL.
type Region struct {
	Name string `json:"name"`           // 1 to 32 of a-z, 0-9 and "-"
	URL  string `json:"url"`            // the relay's, as devices dial it
	TURN string `json:"turn"`           // host:port, over UDP and TCP
	STUN string `json:"stun,omitempty"` // host:port; empty: that of TURN
}

func (r Region) validate() error {
	if !isName(r.Name) {
		return fmt.Errorf("name %q: want 1 to %d of a-z, 0-9 and \"-\"", r.Name, maxName)
	}
	if err := relayurl.Check(r.URL); err != nil {
		return fmt.Errorf("url of %q: %w", r.Name, err)
	}
	if !isHostPort(r.TURN) {
		return fmt.Errorf("turn of %q: want HOST:PORT, such as turn.example:3478", r.Name)
	}
	if r.STUN != "" && !isHostPort(r.STUN) {
		return fmt.Errorf("stun of %q: want HOST:PORT, such as stun.example:3478, or leave it out", r.Name)
	}
	return nil
}

func isName(text string) bool {
	return text != "" && len(text) <= maxName && strings.Trim(text, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// isHostPort reports whether text is a host that can be looked up and a port that can be dialed.
func isHostPort(text string) bool { return relayurl.IsTURN("turn:" + text + "?transport=udp") }
