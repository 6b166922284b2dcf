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

	"github.com/peephole-cam/peephole/internal/nat"
	"github.com/peephole-cam/peephole/portmap"
)

// A report is bad when one finding is; a line and an object say the same.
func TestReport(t *testing.T) {
	fine := newReport([]Finding{{Check: "udp", Relay: "a.example", Verdict: OK, Value: "ipv4", Text: "it gets through"}, {Check: "mtu", Verdict: Unknown, Text: "nobody knows"}})
	sick := newReport(append(fine.Findings[:2:2], Finding{Check: "clock", Verdict: Bad, Text: "set it", Addresses: []string{"192.0.2.1:5"}}))
	for _, tt := range []struct {
		r     Report
		err   error
		lines string
	}{
		{fine, nil, "ok       udp of a.example  it gets through\nunknown  mtu               nobody knows\n"},
		{sick, BadError{1, 3}, "ok       udp of a.example  it gets through\nunknown  mtu               nobody knows\nbad      clock             set it [192.0.2.1:5]\n"},
	} {
		var text, object bytes.Buffer
		if err := tt.r.Write(&text, false); err != tt.err || text.String() != tt.lines {
			t.Errorf("%v, want %v\n%s", err, tt.err, text.String())
		}
		err := tt.r.Write(&object, true)
		var again Report
		if err2 := json.Unmarshal(object.Bytes(), &again); err != tt.err || err2 != nil || !reflect.DeepEqual(again, tt.r) {
			t.Errorf("%v, %v\n%s", err, err2, object.String())
		}
	}
	if err := fine.Write(full{}, false); !errors.Is(err, errFull) {
		t.Errorf("to a full disk: %v", err)
	}
}

var errFull = errors.New("no space left")

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errFull }

// Every behaviour of a NAT, and what becomes of asking a router, has its verdict.
func TestBehaviourIsJudged(t *testing.T) {
	for _, tt := range []struct {
		mapping nat.Mapping
		family  string
		opened  bool
		want    Verdict
		text    string
	}{
		{nat.NoMapping, "4", false, OK, "no NAT"},
		{nat.EndpointIndependent, "4", false, OK, "holes can be punched"},
		{nat.AddressDependent, "4", false, Bad, "turn on UPnP"},
		{nat.AddressAndPortDependent, "4", false, Bad, "turn on UPnP"},
		{nat.AddressAndPortDependent, "4", true, OK, "makes up for it"},
		{nat.UnknownMapping, "4", false, Unknown, "a second relay"},
		{nat.UnknownMapping, "", false, Unknown, "no UDP"},
	} {
		if f := (behaviour{family: tt.family, mapping: tt.mapping}).mapped(tt.opened); f.Verdict != tt.want || !strings.Contains(f.Text, tt.text) || f.Value != string(tt.mapping) {
			t.Errorf("%s: %+v", tt.mapping, f)
		}
	}
	for filtering, want := range map[nat.Filtering]Verdict{nat.OpenFiltering: OK, nat.AddressFiltering: OK, nat.AddressAndPortFiltering: OK, nat.UnknownFiltering: Unknown} {
		if f := (behaviour{filtering: filtering}).filtered(); f.Verdict != want || f.Value != string(filtering) || f.Text == "" {
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
		{opened{asked: true, err: portmap.ErrRefused}, behaviour{}, "no", "holes can do without"},
		{opened{asked: true, err: portmap.ErrNoRouter}, symmetric, "none", "no router was asked"},
		{opened{}, symmetric, "none", "no router was asked"},
	} {
		if f := tt.o.finding(tt.b); f.Verdict != OK || f.Value != tt.value || !strings.Contains(f.Text, tt.text) {
			t.Errorf("%+v: %+v", tt.o, f)
		}
	}
}

func TestMachineIsJudged(t *testing.T) {
	for size, want := range map[int]Verdict{1500: OK, 1280: OK, 1279: Bad, 576: Bad} {
		if f := judgeMTU(Finding{}, size); f.Verdict != want {
			t.Errorf("MTU %d: %+v", size, f)
		}
	}
	for limit, want := range map[uint64]Verdict{1 << 20: OK, 65536: OK, 16384: OK, 16383: Bad, 1024: Bad} {
		if f := judgeFiles(Finding{}, limit); f.Verdict != want {
			t.Errorf("%d files: %+v", limit, f)
		}
	}
	for most, want := range map[uint64]Verdict{4 << 20: OK, 4<<20 - 1: Bad, 212992: Bad} {
		if f := judgeBuffers(Finding{}, most); f.Verdict != want {
			t.Errorf("%d bytes: %+v", most, f)
		}
	}
}

func TestSecretsAreLookedAt(t *testing.T) {
	dir := t.TempDir()
	key, other, none := filepath.Join(dir, "operator.key"), filepath.Join(dir, "key.pem"), filepath.Join(dir, "none")
	for _, path := range []string{key, other} {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		mode os.FileMode // of other
		want Verdict
		text string
	}{
		{0o600, OK, "nobody but their owner"}, {0o400, OK, "nobody but their owner"}, {0o640, Bad, "key.pem: run chmod go="}, {0o604, Bad, "key.pem"}, {0o620, Bad, "key.pem"},
	} {
		if err := os.Chmod(other, tt.mode); err != nil {
			t.Fatal(err)
		}
		f := Operator{Secrets: []string{key, other, none}}.secrets()
		if f.Verdict != tt.want || !strings.Contains(f.Text, tt.text) || strings.Contains(f.Text, "operator.key") {
			t.Errorf("mode %o: %+v", tt.mode, f)
		}
	}
	if f := (Operator{Secrets: []string{none}}).secrets(); f.Verdict != OK || !strings.Contains(f.Text, "none") {
		t.Errorf("no secrets: %+v", f)
	}
}
