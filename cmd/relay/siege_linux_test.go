package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/test/natlab"
)

func init() {
	programs["stranger"] = strangerMain
	programs["household"] = householdMain
}

// The addresses of a siege. A stranger has one address, or a whole /48.
const (
	oneAddress = "10.66.0.1/32"
	oneNetwork = "2001:db8:66::/48"

	// siegeFiles is how many file descriptors the relay may have: fewer than a stranger opens.
	siegeFiles = 2048
)

// siege is a relay at one end of a cable. Its clients are at the other.
type siege struct {
	t           testing.TB
	relay, town *natlab.End
	state       string
	process     *program // the relay's
}

// besieged starts a relay that has few file descriptors and cannot get more.
func besieged(t testing.TB, flags ...string) *siege {
	t.Helper()
	town, relay := natlab.Cable(t)
	for _, p := range []string{oneAddress, oneNetwork} {
		if err := town.Hold(netip.MustParsePrefix(p), relay); err != nil {
			t.Fatal(err)
		}
	}

	s := &siege{t: t, relay: relay, town: town, state: t.TempDir()}
	s.process = s.relayAt(0, s.state, flags...)
	return s
}

// otherPorts is added to the ports of the first relay for those of a second.
const otherPorts = 10000

// relayAt starts a relay at the usual ports plus an offset.
func (s *siege) relayAt(above int, state string, flags ...string) *program {
	s.t.Helper()
	at := func(port int) string { return ":" + strconv.Itoa(above+port) }
	url := "https://" + s.relay.Addr.String()
	if above > 0 {
		url += at(443)
	}

	files := strconv.Itoa(siegeFiles)
	args := append([]string{
		"--bounding-set=-sys_resource", "--inh-caps=-all",
		"prlimit", "--nofile=" + files + ":" + files,
		"relay", "serve",
		"-listen", at(443),
		"-turn", at(3478),
		"-metrics", at(9090),
		"-public-url", url,
		"-tls-self-signed",
		"-state", state,
	}, flags...)

	p := s.start(s.relay, "setpriv", args...)
	p.says("ready ")
	return p
}

// program is a process that takes part in the siege.
type program struct {
	t      testing.TB
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Scanner
	stderr bytes.Buffer
	ended  bool
}

func (s *siege) start(at *natlab.End, name string, args ...string) *program {
	s.t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		s.t.Fatal(err)
	}
	p := &program{t: s.t, cmd: exec.Command(path, args...)}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		s.t.Fatal(err)
	}

	p.cmd.Stderr, p.out = &p.stderr, bufio.NewScanner(out)
	if err := at.Start(p.cmd); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		if !p.ended {
			_ = p.cmd.Process.Kill()
			_ = p.cmd.Wait()
		}
	})

	return p
}

// says waits for a line with the given prefix, and returns the rest of the line.
func (p *program) says(prefix string) string {
	p.t.Helper()
	for p.out.Scan() {
		if rest, ok := strings.CutPrefix(p.out.Text(), prefix); ok {
			return rest
		}
	}

	p.ended = true
	p.t.Fatalf("%s ended: %v\n%s", p.cmd.Path, p.cmd.Wait(), p.stderr.String())
	return ""
}

// tell writes a line to the program.
func (p *program) tell(line string) {
	p.t.Helper()
	if _, err := fmt.Fprintln(p.in, line); err != nil {
		p.t.Fatal(err)
	}
}

// leave ends the program by closing its input.
func (p *program) leave() {
	p.t.Helper()
	p.in.Close()
	for p.out.Scan() {
	}
	p.ended = true
	if err := p.cmd.Wait(); err != nil {
		p.t.Errorf("%s: %v\n%s", p.cmd.Path, err, p.stderr.String())
	}
}

// household starts a household (see householdMain).
func (s *siege) household() *program {
	s.t.Helper()
	host := s.relay.Addr.String()
	p := s.start(s.town, "household", "https://"+host, s.state+"/"+certificateFile, host+":9090")
	p.says("ready")
	return p
}

// round makes the household do each task once, and returns how long each took.
func (p *program) round() map[string]time.Duration {
	p.t.Helper()
	p.tell("round")
	took := make(map[string]time.Duration)
	if err := json.Unmarshal([]byte(p.says("round ")), &took); err != nil {
		p.t.Fatal(err)
	}
	return took
}

// stranger starts a program that attacks a port from the addresses of a prefix: n times, and then rate times a second.
func (s *siege) stranger(attack string, port int, from string, n, rate int) *program {
	s.t.Helper()
	to := netip.AddrPortFrom(s.relay.Addr, uint16(port))
	if netip.MustParsePrefix(from).Addr().Is6() {
		to = netip.AddrPortFrom(s.relay.Addr6, uint16(port))
	}
	return s.start(s.town, "stranger", attack, to.String(), from, strconv.Itoa(n), strconv.Itoa(rate))
}

// come makes the stranger begin, and waits for the end of its first n attempts.
func (p *program) come() {
	p.t.Helper()
	p.tell("come")
	p.says("there")
}

// goAway makes the stranger stop, and returns how often it was refused.
func (p *program) goAway() (refused int) {
	p.t.Helper()
	p.tell("go")
	refused, err := strconv.Atoi(p.says("refused "))
	if err != nil {
		p.t.Fatal(err)
	}
	return refused
}

// attacks lists what a stranger does, and at which ports that may do harm. The benchmark repeats each attack at its own
// rate. Over UDP, one attempt is a hundred packets.
var attacks = []struct {
	name  string
	ports []int
	rate  int
}{
	{"silent", []int{443, 3478, 9090}, 1000}, // connects and says nothing
	{"half", []int{443}, 1000},               // begins a TLS handshake
	{"slow", []int{443}, 1000},               // sends a request's header, line by line
	{"idle", []int{443}, 1000},               // sends a request, and keeps the connection
	{"upgraded", []int{443}, 1000},           // opens a WebSocket, and says nothing
	{"sessions", []int{443}, 200},            // opens a WebTransport session, and says nothing
	{"bindings", []int{443, 3478}, 1000},     // speaks TURN, and asks for nothing
	{"datagrams", []int{3478, 3479}, 200},    // STUN over UDP
	{"guesses", []int{3478}, 200},            // TURN over UDP, with a bad password
}

// A stranger with one address, or with a /48, does its worst against every port. Meanwhile households keep all that
// they have, and get all that they ask for. -short tries a third of the attacks, once each.
func TestHouseholdsLoseNothingBesideAStranger(t *testing.T) {
	natlab.Need(t)
	s := besieged(t)
	house := s.household()
	house.round()
	sources := []string{oneAddress, oneNetwork}
	if testing.Short() {
		sources = sources[:1]
	}
	for _, from := range sources {
		for i, attack := range attacks {
			if testing.Short() && i%3 > 0 {
				continue
			}
			ports := attack.ports
			if testing.Short() {
				ports = ports[:1]
			}
			for _, port := range ports {
				t.Run(fmt.Sprintf("%s at %d from %s", attack.name, port, from), func(t *testing.T) {
					s.t, house.t = t, t
					stranger := s.stranger(attack.name, port, from, 2*siegeFiles, 500)
					stranger.come()
					for range 3 {
						house.round()
					}

					if refused := stranger.goAway(); refused < siegeFiles {
						t.Errorf("only %d attempts were refused, so the test proves nothing", refused)
					}
					stranger.leave()
				})
			}
		}
	}

	house.t = t
	house.leave()
}
