package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/test/reserve"
)

// finding is an entry of doctor -json.
type finding struct {
	Check     string   `json:"check"`
	Relay     string   `json:"relay"`
	Verdict   string   `json:"verdict"`
	Value     string   `json:"value"`
	Text      string   `json:"text"`
	Addresses []string `json:"addresses"`
}

type diagnosis struct {
	OK       bool      `json:"ok"`
	Findings []finding `json:"checks"`
}

// of returns a check's verdict and value; if several relays were checked, those of the first.
func (d diagnosis) of(check string) string {
	for _, f := range d.Findings {
		if f.Check == check {
			return f.Verdict + " " + f.Value
		}
	}
	return "not tested"
}

// TestDoctorCommand: if all is well, viewer doctor says so for everything that it tests at the paired cameras' relays,
// and prints no address unless asked to.
func TestDoctorCommand(t *testing.T) {
	t.Parallel()
	url := startRelayCommand(t)
	links := startCameraSim(t, url, 2)
	v := newTerminal(t)
	v.run(t, "doctor").fails(t, "no relay to test: pair with a camera first, or say -relay URL")
	v.run(t, "doctor", "-relay", "relay.example").fails(t, "read relay URL: want https://HOST or https://HOST:PORT")
	v.run(t, "doctor", "sim-0").fails(t, "doctor takes no argument: see viewer doctor -h")
	v.pair(t, links["sim-0"])
	v.pair(t, links["sim-1"]) // the same relay, which is tested once
	var d diagnosis
	text := v.ok(t, "doctor", "-idle", "0s", "-json")
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		t.Fatal(err)
	}

	var checks []string
	for _, f := range d.Findings {
		checks = append(checks, strings.ReplaceAll(f.Check, " ", "_"))
		// one relay can only show half of the filtering
		if f.Verdict == "bad" || f.Text == "" || f.Verdict != "ok" && f.Check != "filtering" {
			t.Errorf("%+v", f)
		}
	}

	const want = "https certificate clock signaling http/3 udp tcp tls ipv6 mapping filtering hairpin port_mapping mtu"
	if !d.OK || strings.Join(checks, " ") != want {
		t.Errorf("ok: %t, checked %q", d.OK, checks)
	}
	lines := v.ok(t, "doctor") // with the default -idle
	if strings.Count(lines, "\n") != len(checks) || strings.Contains(text+lines, "127.0.0.1") {
		t.Errorf("said:\n%s", lines)
	}
	if !strings.Contains(lines, "stays open when idle for 21 s") {
		t.Errorf("no idle connection of 21 s in\n%s", lines)
	}

	if told := v.ok(t, "doctor", "-idle", "0s", "-addresses"); !strings.Contains(told, "127.0.0.1:") {
		t.Errorf("no addresses, though asked for:\n%s", told)
	}
}

// If something is bad, the doctor exits with 1 and says what to change: here a relay whose clock is wrong, and a relay
// that is away.
func TestDoctorCommandFindsWhatIsBad(t *testing.T) {
	t.Parallel()
	slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Date", time.Now().Add(-10*time.Minute).UTC().Format(http.TimeFormat))
		fmt.Fprint(w, `{"urls": []}`)
	}))
	t.Cleanup(slow.Close)
	o := newTerminal(t).run(t, "doctor", "-idle", "0s", "-relay", slow.URL, "-relay", "http://"+reserve.For(t))
	o.fails(t, "3 of 22 checks found a problem: do what their lines say")

	for _, want := range []string{"the relay's: turn on automatic time", "bad      clock of relay 1",
		"bad      https of relay 2", "its machine refuses the connection", "unknown  clock of relay 2"} {
		if !strings.Contains(o.stdout, want) {
			t.Errorf("no %q in\n%s", want, o.stdout)
		}
	}
}
