//go:build linux

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/test/natlab"
)

// examination is a doctor that runs on a host.
type examination struct {
	cmd            *exec.Cmd
	stdout, stderr bytes.Buffer
	late           *time.Timer
}

func examine(t *testing.T, h *natlab.Host, args ...string) *examination {
	t.Helper()
	e := &examination{cmd: exec.Command(filepath.Join(binaries(t), "viewer"), args...)}
	e.cmd.Stdout, e.cmd.Stderr = &e.stdout, &e.stderr
	if err := h.Start(e.cmd); err != nil {
		t.Fatal(err)
	}

	e.late = time.AfterFunc(patience, func() { _ = e.cmd.Process.Kill() })

	return e
}

// wait returns what the doctor found, and checks that the exit code agrees.
func (e *examination) wait(t *testing.T) (d diagnosis) {
	t.Helper()
	_ = e.cmd.Wait() // whose exit code is checked below
	e.late.Stop()
	if err := json.Unmarshal(e.stdout.Bytes(), &d); err != nil {
		t.Fatalf("doctor said %q, %q: %v", e.stdout.String(), e.stderr.String(), err)
	}

	if code := e.cmd.ProcessState.ExitCode(); (code == 0) != d.OK || code > 1 {
		t.Errorf("exit %d, and ok is %t", code, d.OK)
	}
	return d
}

// sick returns what a doctor should find behind a kind of network, as "verdict value" by check.
func sick(k natlab.Kind) map[string]string {
	want := map[string]string{"https": "ok ", "certificate": "ok 89", "clock": "ok 0", "tcp": "ok yes", "tls": "ok yes"}
	value := "ipv4"
	want["ipv6"] = "ok none"
	if k.IPv6 {
		want["ipv6"], value = "ok yes", "ipv4 ipv6"
		if !k.IPv4 {
			value = "ipv6"
		}
	}

	want["udp"], want["mtu"], want["http/3"] = "ok "+value, "ok 1500", "ok yes"
	if k.Name == natlab.Only443.Name {
		want["tcp"] = "bad silent"
	}
	switch b := k.Behaviour; {
	case !k.UDP:
		want["udp"], want["mtu"], want["mapping"], want["filtering"], want["hairpin"] = "bad ", "unknown ",
			"unknown unknown", "unknown unknown", "unknown unknown"
		want["http/3"] = "ok no"
	case !k.IPv4:
		want["mapping"], want["filtering"], want["hairpin"] = "ok none", "ok address-and-port-dependent", "ok none"
	case !b.Translates:
		want["mapping"], want["filtering"], want["hairpin"] = "ok none", "ok "+string(b.Filtering), "ok none"
	default:
		verdict := "ok "
		if b.Mapping != natlab.EndpointIndependent {
			verdict = "bad "
		}
		want["mapping"], want["filtering"], want["hairpin"] = verdict+string(b.Mapping), "ok "+string(b.Filtering),
			"ok no"
	}

	if k.IPv4 && k.Behaviour.Translates {
		want["port mapping"] = "ok no"
	}
	return want
}

// differences returns a sentence for each finding that is not the one wanted.
func differences(want map[string]string, d diagnosis) (sentences []string) {
	for check, want := range want {
		got := d.of(check)
		if check == "clock" && (got == "ok 1" || got == "ok -1") {
			got = want // the relay's time has whole seconds
		}
		if got != want {
			sentences = append(sentences, fmt.Sprintf("%s is %q, want %q", check, got, want))
		}
	}
	return sentences
}

// Behind every kind of network, viewer doctor finds what the lab knows about it, and prints no address.
func TestDoctorKnowsEveryNetwork(t *testing.T) {
	t.Parallel()
	lab, flags := labOfTwoRelays(t)
	type patient struct {
		name string
		host *natlab.Host
		want map[string]string
	}

	var patients []patient
	for _, k := range natlab.Kinds() {
		patients = append(patients, patient{k.Name, lab.Behind("host", k), sick(k)})
	}
	opened := patient{"symmetric, and the router opens ports", lab.Behind("host", natlab.SymmetricRandom),
		sick(natlab.SymmetricRandom)}
	opened.host.Network().OpenPorts(natlab.PCP, natlab.UPnP)
	opened.want["mapping"], opened.want["port mapping"] = "ok address-and-port-dependent", "ok yes"

	// The tunnel swallows packets that are too large, such as TLS's first message.
	narrow := patient{"a narrow tunnel", lab.Behind("host", natlab.PortRestricted),
		map[string]string{"https": "bad silent", "mtu": "bad 1200", "mapping": "ok endpoint-independent"}}
	narrow.host.Network().Impair(natlab.Quality{MTU: 1200}, natlab.Quality{MTU: 1200})
	patients = append(patients, opened, narrow)
	begin := func(p patient) *examination {
		return examine(t, p.host,
			slices.Concat([]string{"-state", filepath.Join(t.TempDir(), "viewer")}, flags, []string{"-json"})...)
	}
	var under []*examination
	for _, p := range patients {
		under = append(under, begin(p))
	}

	for i, p := range patients {
		wrong := differences(p.want, under[i].wait(t))
		for again := 0; len(wrong) > 0 && again < 2; again++ { // by itself: all at once may be too much for a processor
			under[i] = begin(p)
			wrong = differences(p.want, under[i].wait(t))
		}
		for _, sentence := range wrong {
			t.Errorf("%s: %s", p.name, sentence)
		}

		if found := anAddress.FindString(under[i].stdout.String()); found != "" {
			t.Errorf("%s: an address, %s", p.name, found)
		}
		if t.Failed() {
			t.Logf("%s:\n%s", p.name, under[i].stdout.String())
		}
	}

	if n := opened.host.Network().OpenedPorts(); n != 0 {
		t.Errorf("%d ports are left open", n)
	}
}

// labOfTwoRelays returns a lab and the flags with which viewer doctor examines both of its relays.
func labOfTwoRelays(t *testing.T) (lab *natlab.Lab, flags []string) {
	t.Helper()
	lab = natlab.New(t)
	var trusted []byte
	for _, name := range []string{"relay", "second"} {
		host, state := lab.Public(name), t.TempDir()
		p := startBy(t, host.Start, "relay", "serve", "-listen", "[::]:443", "-turn", "[::]:3478", "-public-url",
			"https://"+name+".lab", "-tls-self-signed", "-state", state)
		p.line(t, "ready ")
		text, err := os.ReadFile(filepath.Join(state, "self-signed.pem"))
		if err != nil {
			t.Fatal(err)
		}
		trusted = append(trusted, text...)
	}

	file := filepath.Join(t.TempDir(), "both.pem")
	if err := os.WriteFile(file, trusted, 0o600); err != nil {
		t.Fatal(err)
	}
	return lab, []string{"-relay-cert", file, "doctor", "-idle", "0s", "-relay", "https://relay.lab", "-relay",
		"https://second.lab"}
}

// With -addresses, the doctor prints the addresses that the relays see: behind a NAT, the network's outside address.
func TestDoctorTellsAddresses(t *testing.T) {
	t.Parallel()
	lab, flags := labOfTwoRelays(t)
	host := lab.Behind("host", natlab.PortRestricted)
	d := examine(t, host, slices.Concat([]string{"-no-portmap", "-state", filepath.Join(t.TempDir(), "viewer")}, flags,
		[]string{"-json", "-addresses"})...).wait(t)
	told := 0

	for _, f := range d.Findings {
		for _, a := range f.Addresses {
			mapped, _, _ := bytes.Cut([]byte(a), []byte(" seen by "))
			if at, err := netip.ParseAddrPort(string(mapped)); err == nil && at.Addr() == host.Network().Outside() {
				told++
			}
		}
	}

	if told != 4 || d.of("port mapping") != "ok none" {
		t.Errorf("%d of 4 servers' views are listed: %+v", told, d.Findings)
	}
}

// In a house without internet, the doctor says of a camera whether it answers on this network, and looks for none with
// -lan=false. Whoever watches in vain reads that neither way worked.
func TestDoctorLooksForCamerasOnTheLAN(t *testing.T) {
	t.Parallel()
	s := newHouse(t, "-lan")
	if w, code := s.once(t, "20"); code != 0 {
		t.Fatalf("exit %d, %+v; want 20 frames by the relay", code, w)
	}
	ask := func(args ...string) *examination {
		return examine(t, s.person, slices.Concat(s.flags, []string{"doctor", "-idle", "0s", "-json"}, args)...)
	}
	expect := func(e *examination, want string) {
		t.Helper()
		if d := e.wait(t); d.of("lan") != want {
			t.Errorf("the doctor finds %q, want %q: %+v", d.of("lan"), want, d.Findings)
		}
		if found := anAddress.FindString(e.stdout.String()); found != "" {
			t.Errorf("an address, %s", found)
		}
	}

	s.home.Network().Down()
	offline, switchedOff := ask(), ask("-lan=false")
	expect(offline, "ok yes")
	expect(switchedOff, "not tested")

	s.cams.stop()
	without := ask()
	const want = "cannot reach the relay at relay.lab: no answer; the camera does not answer on this network either: " +
		"run viewer doctor"
	if said := s.fails(t); !strings.Contains(said, want) {
		t.Errorf("the viewer says %q, want %q", said, want)
	}
	expect(without, "ok no")
}
