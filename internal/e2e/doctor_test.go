package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

// finding is a line of doctor -json.
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

// of is a check's verdict and value; of a relay's the first's.
func (d diagnosis) of(check string) string {
	for _, f := range d.Findings {
		if f.Check == check {
			return f.Verdict + " " + f.Value
		}
	}
	return "not tested"
}

// The doctor of a viewer that is well says so, of each thing that it tests, by the relays of the paired cameras; it says no address.
func TestDoctorCommand(t *testing.T) {
	t.Parallel()
	url := startRelayCommand(t)
	links := startCameraSim(t, url, 2)
	v := newTerminal(t)
	v.run(t, "doctor").fails(t, "no relay to test by: pair with a camera, or say -relay URL")
	v.run(t, "doctor", "-relay", "relay.example").fails(t, "read relay URL: want https://HOST or https://HOST:PORT")
	v.run(t, "doctor", "sim-0").fails(t, "doctor takes no argument: see viewer -h")
	v.pair(t, links["sim-0"])
	v.pair(t, links["sim-1"]) // the same relay, which is tested once
	var d diagnosis
	text := v.ok(t, "doctor", "-json")
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		t.Fatal(err)
	}
	var checks []string
	for _, f := range d.Findings {
		checks = append(checks, f.Check)
		if f.Verdict == "bad" || f.Text == "" || f.Verdict != "ok" && f.Check != "filtering" { // one relay shows half of that
			t.Errorf("%+v", f)
		}
	}
	if want := strings.Split("https certificate clock udp tcp tls ipv6 mapping filtering hairpin port_mapping mtu", " "); !d.OK || !slices.Equal(strings.Fields(strings.ReplaceAll(strings.Join(checks, "\n"), " ", "_")), want) {
		t.Errorf("ok: %t, checked %q", d.OK, checks)
	}
	lines := v.ok(t, "doctor")
	if strings.Count(lines, "\n") != len(checks) || strings.Contains(text+lines, "127.0.0.1") {
		t.Errorf("said:\n%s", lines)
	}
	if told := v.ok(t, "doctor", "-addresses"); !strings.Contains(told, "127.0.0.1:") {
		t.Errorf("no addresses, though asked for:\n%s", told)
	}
}

// Where something is bad it exits with 1 and says what to change: a relay whose clock is another, and one that is away.
func TestDoctorCommandFindsWhatIsBad(t *testing.T) {
	t.Parallel()
	slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Date", time.Now().Add(-10*time.Minute).UTC().Format(http.TimeFormat))
		fmt.Fprint(w, `{"urls": []}`)
	}))
	away := httptest.NewServer(nil)
	away.Close()
	t.Cleanup(slow.Close)
	o := newTerminal(t).run(t, "doctor", "-relay", slow.URL, "-relay", away.URL)
	o.fails(t, "2 of 18 checks found something bad: do what their lines say")
	for _, want := range []string{"the relay's: turn on automatic time", "bad      clock of relay 1", "bad      https of relay 2", "its machine refuses the connection", "unknown  clock of relay 2"} {
		if !strings.Contains(o.stdout, want) {
			t.Errorf("no %q in\n%s", want, o.stdout)
		}
	}
}
