//go:build linux

package turnbench

import (
	"crypto/rand"
	"encoding/hex"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/test/selfsigned"
	"github.com/peephole-cam/peephole/turn"
)

// credentials returns the credentials of a client, by its number.
type credentials func(client int) (username, password string)

// A brand is one make of TURN server.
type brand struct {
	name    string
	version string
	heap    bool // prints how large its heap is, once for each line that it reads
	ours    bool
	xdp     bool // takes packets by XDP, at a device
	command func(t testing.TB, at place, cores int) (*exec.Cmd, credentials)
}

// place is where a server should serve.
type place struct {
	plain  netip.AddrPort // UDP and TCP
	secure netip.AddrPort // TLS; zero: none
	device string         // for XDP; empty: none
}

// brands returns all that this machine has, ours first. COTURN is the path of another coturn, with its arguments.
func brands(t testing.TB) []brand {
	t.Helper()
	all := []brand{
		{name: "ours", ours: true, heap: true, command: ours},
		{
			name:    "ours with XDP",
			ours:    true,
			heap:    true,
			xdp:     true,
			command: ours,
		},
	}
	if path, err := exec.LookPath("turnserver"); err == nil {
		all = append(all, coturn(t, "coturn", path))
	} else if os.Getenv("CI") != "" {
		t.Fatal("missing: turnserver: run make deps")
	} else {
		t.Log("no coturn here: run make deps to compare with it")
	}

	all = append(all, brand{name: "pion", version: "v4", heap: true, command: pion})
	if own := strings.Fields(os.Getenv("COTURN")); len(own) > 0 {
		all = append(all, coturn(t, "coturn given", own[0], own[1:]...))
	}
	return all
}

// contestant builds the program that serves as ours and as pion, once per test process.
var contestant = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "peephole-turnbench-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "contestant")
	cmd := exec.Command("go", "build", "-trimpath", "-o", path, "./test/turnbench/contestant")
	cmd.Dir, cmd.Stderr = "../..", os.Stderr
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0") // as bin/relay is built

	return path, cmd.Run()
})

func TestMain(m *testing.M) {
	_, _ = availableCores() // before anything is pinned; divideCores reports an error
	code := m.Run()
	if path, err := contestant(); err == nil {
		os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

func build(t testing.TB) string {
	t.Helper()
	path, err := contestant()
	if err != nil {
		t.Fatalf("build contestant: %v", err)
	}
	return path
}

func ours(t testing.TB, at place, _ int) (*exec.Cmd, credentials) {
	t.Helper()
	secret := make([]byte, turn.MinSecret)
	rand.Read(secret)
	keys, err := turn.NewKeys(secret, nil)
	if err != nil {
		t.Fatal(err)
	}

	args := append(at.flags(t), "ours", hex.EncodeToString(secret), at.plain.String())

	return exec.Command(build(t), args...), granted(keys)
}

// granted returns credentials that our server accepts: two clients are a session.
func granted(keys *turn.Keys) credentials {
	var mu sync.Mutex
	grants := make(map[int]turn.Grant) // by session
	return func(client int) (string, string) {
		mu.Lock()
		defer mu.Unlock()
		g, ok := grants[client/2]
		if !ok {
			g, _ = keys.Grant("", time.Now(), time.Hour) // an hour is never refused
			grants[client/2] = g
		}

		if client%2 == 0 {
			return g.Camera.Username, g.Camera.Password
		}
		return g.Viewer.Username, g.Viewer.Password
	}
}

const user, password = "load", "loadloadload"

func everybody(int) (string, string) { return user, password }

func pion(t testing.TB, at place, _ int) (*exec.Cmd, credentials) {
	t.Helper()
	return exec.Command(build(t), append(at.flags(t), "pion", user+":"+password, at.plain.String())...), everybody
}

// flags returns the contestant's flags for everything except UDP and TCP.
func (at place) flags(t testing.TB) (flags []string) {
	t.Helper()
	if at.device != "" {
		flags = append(flags, "-xdp", at.device)
	}
	if at.secure.IsValid() {
		cert, key := certificate(t)
		flags = append(flags, "-tls", at.secure.String(), "-cert", cert, "-key", key)
	}

	return flags
}

// coturn returns a coturn of any version with its defaults, except that it switches off what is not needed here.
func coturn(t testing.TB, name, path string, extra ...string) brand {
	t.Helper()
	out, err := exec.Command(path, "--version").CombinedOutput()
	if err != nil && len(out) == 0 {
		t.Fatalf("%s: %v", path, err)
	}
	lines := strings.Fields(string(out))
	version := ""
	if len(lines) > 0 {
		version = lines[len(lines)-1]
	}

	return brand{name: name, version: version,
		command: func(t testing.TB, at place, cores int) (*exec.Cmd, credentials) {
			dir := t.TempDir()
			args := []string{"--no-tls"}
			if at.secure.IsValid() {
				cert, key := certificate(t)
				args = []string{"--cert=" + cert, "--pkey=" + key,
					"--tls-listening-port=" + strconv.Itoa(int(at.secure.Port()))}
			}

			args = append(append(args,
				"-n", "--no-dtls", "--no-cli", "--no-stdout-log", "--simple-log",
				"--log-file="+filepath.Join(dir, "log"),
				"--pidfile="+filepath.Join(dir, "pid"), "--userdb="+filepath.Join(dir, "db"),
				"--listening-ip="+at.plain.Addr().String(), "--listening-port="+strconv.Itoa(int(at.plain.Port())),
				"--relay-ip="+at.plain.Addr().String(),
				"--min-port=10000", "--max-port=65535", "--allow-loopback-peers",
				"--lt-cred-mech", "--user="+user+":"+password, "--realm=coturn", "--relay-threads="+strconv.Itoa(cores),
			), extra...)

			return exec.Command(path, args...), everybody
		}}
}

// certificate writes a self-signed certificate and its key to files of their own.
func certificate(t testing.TB) (cert, key string) {
	t.Helper()
	chain, secret := selfsigned.PEM(t, selfsigned.New(t, "turn.example"))
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, text := range map[string][]byte{cert: chain, key: secret} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}

	return cert, key
}

// awaitServer waits until a server answers a Binding request (RFC 8489, section 2.1) and accepts connections.
func (g ground) awaitServer(t testing.TB, at place) {
	t.Helper()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for _, stream := range []netip.AddrPort{at.plain, at.secure} {
		for end := time.Now().Add(30 * time.Second); stream.IsValid(); {
			err := g.load.Do(func() error {
				conn, err := net.Dial("tcp4", stream.String())
				if err == nil {
					conn.Close()
				}
				return err
			})
			if err == nil {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("nothing listens at %s within 30 s: %v", stream, err)
			}
			<-again.C
		}
	}

	var conn net.Conn
	if err := g.load.Do(func() (err error) {
		conn, err = net.Dial("udp4", at.plain.String())
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer conn.Close()

	request := []byte{0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 19: 1}
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); {
		_, _ = conn.Write(request) // refused while nothing listens
		conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		if n, err := conn.Read(make([]byte, 1500)); err == nil && n >= 20 {
			return
		}
	}
	t.Fatalf("nothing answers at %s within 30 s", at.plain)
}
