package doctor

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/peephole-cam/peephole/nat"
	"github.com/peephole-cam/peephole/nat/portmap"
)

// A report is bad if any finding is. Lines and JSON agree.
func TestReportIsBadIfOneFindingIs(t *testing.T) {
	udp := Finding{
		Check:   "udp",
		Relay:   "a.example",
		Verdict: OK,
		Value:   "ipv4",
		Text:    "it gets through",
	}
	mtu := Finding{Check: "mtu", Verdict: Unknown, Text: "nobody knows"}
	lan := Finding{Check: "lan", Camera: "porch", Verdict: OK, Text: "it is here"}
	clock := Finding{Check: "clock", Verdict: Bad, Text: "set it", Addresses: []string{"192.0.2.1:5"}}
	fine := newReport([]Finding{udp, mtu, lan}, true)
	sick := newReport([]Finding{udp, mtu, lan, clock}, true)

	const fineLines = "ok       udp of a.example  it gets through\n" +
		"unknown  mtu               nobody knows\n" +
		"ok       lan of porch      it is here\n"

	for _, tt := range []struct {
		r     Report
		err   error
		lines string
	}{
		{fine, nil, fineLines},
		{sick, BadError{1, 4}, fineLines + "bad      clock             set it [192.0.2.1:5]\n"},
	} {
		var text, object bytes.Buffer
		if err := tt.r.Write(&text, false); err != tt.err || text.String() != tt.lines {
			t.Errorf("%v, want %v\n%s", err, tt.err, text.String())
		}
		err := tt.r.Write(&object, true)
		var again Report
		if err2 := json.Unmarshal(object.Bytes(), &again); err != tt.err || err2 != nil ||
			!reflect.DeepEqual(again, tt.r) {
			t.Errorf("%v, %v\n%s", err, err2, object.String())
		}
	}

	if err := fine.Write(full{}, false); !errors.Is(err, errFull) {
		t.Errorf("to a full disk: %v", err)
	}
	if r := newReport([]Finding{clock}, false); r.Findings[0].Addresses != nil {
		t.Errorf("addresses, although nobody asked for them: %q", r.Findings[0].Addresses)
	}
}

var errFull = errors.New("no space left")

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errFull }

// Every behaviour of a NAT and every answer of a router gets its verdict.
func TestBehaviourGetsItsVerdict(t *testing.T) {
	for _, tt := range []struct {
		mapping nat.Mapping
		family  string
		opened  bool
		want    Verdict
		text    string
	}{
		{nat.NoMapping, "4", false, OK, "no NAT"},
		{nat.EndpointIndependent, "4", false, OK, "direct paths work"},
		{nat.AddressDependent, "4", false, Bad, "turn on UPnP"},
		{nat.AddressAndPortDependent, "4", false, Bad, "turn on UPnP"},
		{nat.AddressAndPortDependent, "4", true, OK, "makes up for it"},
		{nat.UnknownMapping, "4", false, Unknown, "a second relay"},
		{nat.UnknownMapping, "", false, Unknown, "no UDP"},
	} {
		if f := (behaviour{family: tt.family, mapping: tt.mapping}).checkMapping(tt.opened); f.Verdict != tt.want ||
			!strings.Contains(f.Text, tt.text) || f.Value != string(tt.mapping) {
			t.Errorf("%s: %+v", tt.mapping, f)
		}
	}

	for filtering, want := range map[nat.Filtering]Verdict{nat.OpenFiltering: OK, nat.AddressFiltering: OK,
		nat.AddressAndPortFiltering: OK, nat.UnknownFiltering: Unknown} {
		if f := (behaviour{filtering: filtering}).checkFiltering(); f.Verdict != want || f.Value != string(filtering) ||
			f.Text == "" {
			t.Errorf("%s: %+v", filtering, f)
		}
	}

	symmetric := behaviour{mapping: nat.AddressAndPortDependent}
	for _, tt := range []struct {
		o     opened
		b     behaviour
		value string
		text  string
	}{
		{opened{asked: true, outside: netip.MustParseAddrPort("192.0.2.1:5")}, symmetric, "yes", "opens a port"},
		{opened{asked: true, err: portmap.ErrInside}, symmetric, "inside", "behind another NAT"},
		{opened{asked: true, err: portmap.ErrRefused}, symmetric, "no", "turn on UPnP"},
		{opened{asked: true, err: portmap.ErrRefused}, behaviour{}, "no", "direct paths work without"},
		{opened{asked: true, err: portmap.ErrNoRouter}, symmetric, "none", "no router was asked"},
		{opened{}, symmetric, "none", "no router was asked"},
	} {
		if f := tt.o.finding(tt.b); f.Verdict != OK || f.Value != tt.value || !strings.Contains(f.Text, tt.text) {
			t.Errorf("%+v: %+v", tt.o, f)
		}
	}
}

func TestMachineGetsItsVerdict(t *testing.T) {
	for size, want := range map[int]Verdict{1500: OK, 1280: OK, 1279: Bad, 576: Bad} {
		if f := judgeMTU(Finding{}, size); f.Verdict != want {
			t.Errorf("MTU %d: %+v", size, f)
		}
	}

	for limit, want := range map[uint64]Verdict{1 << 20: OK, 65536: OK, 16384: OK, 16383: Bad, 1024: Bad} {
		if f := judgeFiles(limit, true); f.Verdict != want {
			t.Errorf("%d files: %+v", limit, f)
		}
	}

	for most, want := range map[uint64]Verdict{4 << 20: OK, 4<<20 - 1: Bad, 212992: Bad} {
		if f := judgeBuffers(most, true); f.Verdict != want {
			t.Errorf("%d bytes: %+v", most, f)
		}
	}
}

func TestSecretsMustBePrivate(t *testing.T) {
	dir := t.TempDir()
	key, other, none := filepath.Join(dir, "operator.key"), filepath.Join(dir, "key.pem"), filepath.Join(dir, "none")
	for _, path := range []string{key, other} {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}

	for _, tt := range []struct {
		mode os.FileMode // of the other file
		want Verdict
		text string
	}{
		{0o600, OK, "only their owner can read them"}, {0o400, OK, "only their owner can read them"},
		{0o640, Bad, "key.pem: run chmod go="}, {0o604, Bad, "key.pem"}, {0o620, Bad, "key.pem"},
	} {
		if err := os.Chmod(other, tt.mode); err != nil {
			t.Fatal(err)
		}
		f := Operator{Secrets: []string{key, other, none}}.checkSecrets()
		if f.Verdict != tt.want || !strings.Contains(f.Text, tt.text) || strings.Contains(f.Text, "operator.key") {
			t.Errorf("mode %o: %+v", tt.mode, f)
		}
	}

	if f := (Operator{Secrets: []string{none}}).checkSecrets(); f.Verdict != OK || !strings.Contains(f.Text, "none") {
		t.Errorf("no secrets: %+v", f)
	}
}

// A report removes terminal controls from the names in a certificate, which its relay has chosen.
func TestReportRemovesTerminalControls(t *testing.T) {
	const bad = "valid for \x1b[2J\u202egnp.relay"
	r := newReport([]Finding{{
		Check:     "certificate",
		Verdict:   OK,
		Relay:     bad,
		Text:      bad,
		Addresses: []string{bad},
	}}, true)
	for _, asJSON := range []bool{false, true} {
		var out bytes.Buffer
		if err := r.Write(&out, asJSON); err != nil {
			t.Fatal(err)
		}
		if s := out.String(); strings.ContainsAny(s, "\x1b\u202e") || strings.Count(s, "?gnp.relay") != 3 {
			t.Errorf("as JSON: %t: %q", asJSON, s)
		}
	}
}
