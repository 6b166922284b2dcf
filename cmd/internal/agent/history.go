package agent

import (
	"fmt"
	"net/netip"
	"regexp"
	"runtime"
	"strings"
	"time"

	"github.com/peephole-cam/peephole/cmd/internal/cli"
	"github.com/peephole-cam/peephole/cmd/internal/obs"
)

// history is the log that a camera gives to viewers who ask for it: the newest lines, whoever wrote them in this
// process. The cameras of camera-sim share one.
type history struct {
	obs.Ring
	started time.Time
}

func newHistory() *history { return &history{started: time.Now()} }

// text returns a header of two lines, which says what program this is, and the log. IP addresses are replaced, so that
// a viewer learns neither other viewers' nor those of a camera that hides its own.
func (h *history) text() []byte {
	header := fmt.Appendf(nil, "peephole %s\n%s/%s, started %s\n", cli.Version(), runtime.GOOS, runtime.GOARCH,
		h.started.UTC().Format(time.RFC3339))
	return append(header, withoutAddresses(h.Lines())...)
}

// addressLike matches what may be an IP address, with a port or without.
var addressLike = regexp.MustCompile(`\[?[0-9A-Fa-f:.]*[:.][0-9A-Fa-f:.]+(%[0-9A-Za-z._~-]+)?(\]:[0-9]+|\])?`)

// withoutAddresses replaces IP addresses.
func withoutAddresses(lines []byte) []byte {
	return addressLike.ReplaceAllFunc(lines, func(found []byte) []byte {
		text := strings.TrimRight(string(found), ":.")
		_, err := netip.ParseAddr(strings.Trim(text, "[]"))
		if err != nil {
			_, err = netip.ParseAddrPort(text)
		}
		if err != nil {
			return found
		}
		return append([]byte("(address)"), found[len(text):]...)
	})
}
