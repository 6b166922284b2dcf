package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/relay"
	"github.com/peephole-cam/peephole/turn"
)

// If the relay cannot listen on an address, its error ends with what to do about it.
func TestAddressThatCannotBeHadIsAdvised(t *testing.T) {
	for cause, want := range map[error]string{
		syscall.EADDRINUSE: "address already in use: " +
			"another program has this port: stop it, or give another one with -listen",
		syscall.EACCES: "permission denied: " +
			"ports below 1024 need root or CAP_NET_BIND_SERVICE; or give another one with -listen",
		syscall.EADDRNOTAVAIL: "cannot assign requested address: " +
			"this machine does not have that address: give one of its own with -listen",
		errors.New("broken"): "broken: give another address with -listen",
	} {
		err := adviseListen("-listen", &relay.ListenError{Address: ":443", Err: cause})
		if err.Error() != "listen on :443: "+want {
			t.Errorf("%v: says %q\nwant %q", cause, err, want)
		}
	}
}

// Each address of the relay has a flag, by which the advice names it.
func TestAdviceNamesTheFlagOfTheAddress(t *testing.T) {
	for field, flag := range map[string]string{
		"Listen":  "-listen",
		"TURN":    "-turn",
		"TURNTLS": "-turn-tls", "WebTransport": "-webtransport",
		"Metrics": "-metrics",
		"P2P":     "-p2p",
	} {
		err := new(config).advise(&relay.ListenError{Field: field, Address: ":443", Err: errors.New("broken")})
		if want := "listen on :443: broken: give another address with " + flag; err.Error() != want {
			t.Errorf("%s: says %q\nwant %q", field, err, want)
		}
	}
}

func TestSettingsThatCannotWorkAreAdvised(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"-state="}, "-state: want a folder"},
		{[]string{"-webtransport=:443"},
			"-webtransport :443 without a certificate: " +
				"give -tls-cert and -tls-key, or -tls-self-signed for development"},
		{[]string{"-turn-tls=:443"},
			"-turn-tls :443 without a certificate: give -tls-cert and -tls-key, or -tls-self-signed for development"},
		{[]string{"-public-url=https://relay.example:99999"},
			`-public-url "https://relay.example:99999": want a port from 1 to 65535`},
		{[]string{"-proxy-header=via"}, `-proxy-header "via": want x-forwarded-for, forwarded or proxy-protocol`},
		{[]string{"-loopback-unlimited", "-public-url=https://relay.example"},
			"-loopback-unlimited: clients of -public-url https://relay.example " +
				"come through a proxy on this machine, and must be limited; leave it out"},
	} {
		if _, err := parseConfig(tt.args, io.Discard); err == nil || err.Error() != tt.want {
			t.Errorf("%q: says %v\nwant %q", tt.args, err, tt.want)
		}
	}
}

func TestSecretFilesThatCannotBeUsedAreAdvised(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}

	secret := func(path string) func() error {
		return func() error { _, err := readSecret(path); return err }
	}
	key := func(folder string) func() error {
		return func() error { _, err := operatorKey(folder); return err }
	}
	open, short := write("open", strings.Repeat("x", turn.MinSecret), 0o644), write("short", "x", 0o600)
	torn, tornHost := write(operatorKeyFile.file, "nonsense", 0o600), write(hostKeyFile.file, "nonsense", 0o600)
	for _, tt := range []struct {
		read func() error
		want string
	}{
		{secret(open), "file holds secrets and is readable by others: run chmod 600 on it"},
		{secret(filepath.Join(dir, "gone")),
			"; make one with head -c 32 /dev/urandom, and give it to each of your relays"},
		{secret(short), fmt.Sprintf("-turn-secret %s has 1 bytes: want %d to %d random ones", short, turn.MinSecret,
			maxSecret)},
		{key(dir), "damaged operator key " + torn + ": restore it from a backup; " +
			"removing it makes every ticket void, and devices will refuse your maps of regions"},
		{func() error { _, err := hostKey(dir); return err }, "damaged p2p key " + tornHost + ": restore it from a " +
			"backup; removing it changes the relay's -p2p multiaddress, which cameras must be told again"},
		{key("/proc/peephole"), // where no folder can be made
			"; give another folder with -state"},
	} {
		if err := tt.read(); err == nil || !strings.HasSuffix(err.Error(), tt.want) {
			t.Errorf("says %v\nwant %q", err, tt.want)
		}
	}

	if err := os.Chmod(torn, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := key(dir)(); err == nil || !strings.HasSuffix(err.Error(), "readable by others: run chmod 600 on it") {
		t.Errorf("says %v", err)
	}
}

// The log tells an operator how the relay starts and ends.
func TestRelayLogsWhatItServesAndWhenItDrains(t *testing.T) {
	s := serveRelay(t, "-public-url", "https://relay.example", "-drain", "1m")
	s.stop()
	for _, want := range []string{
		"msg=serving", "msg=draining",
		"all clients of a proxy share one address, and its limits: name it as a trusted proxy",
	} {
		if !strings.Contains(s.log.String(), want) {
			t.Errorf("the log lacks %q:\n%s", want, s.log)
		}
	}
}

func TestCertificatesThatCannotBeUsedAreAdvised(t *testing.T) {
	file := filepath.Join(t.TempDir(), "cert.pem")
	writeCertificate(t, file, time.Now().Add(-2*certificateLife))
	c := &config{tlsCert: file, tlsKey: file}
	if _, err := c.certificate("127.0.0.1", time.Now()); err == nil ||
		!strings.Contains(err.Error(), ": renew it, or set this machine's clock, which shows ") {
		t.Errorf("expired: says %v", err)
	}

	torn := filepath.Join(t.TempDir(), certificateFile)
	if err := os.WriteFile(torn, []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		torn:                         "; remove " + torn + " to make a new one",
		"/proc/peephole/certificate": "; -state needs a folder that can be written to",
	} {
		if _, err := selfSigned(path, "127.0.0.1", time.Now()); err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%s: says %v\nwant %q", path, err, want)
		}
	}
}

// A ticket's end must fit into 32 bits: a later one is refused with an error that says so.
func TestTicketBeyondItsLastYearIsRefused(t *testing.T) {
	now := time.Date(2106, 1, 1, 0, 0, 0, 0, time.UTC)
	if end, err := ticketEnd(now, 30); err != nil || !end.Equal(now.AddDate(0, 0, 30)) {
		t.Errorf("30 days: %v, %v", end, err)
	}
	const want = "-days: want an end before the year 2106"
	if _, err := ticketEnd(now, 60); err == nil || err.Error() != want {
		t.Errorf("60 days: says %v\nwant %q", err, want)
	}
}

// fullOutput is a standard output on a full disk. It calls tried when the program writes.
type fullOutput struct{ tried func() }

func (o fullOutput) Write([]byte) (int, error) {
	o.tried()
	return 0, syscall.ENOSPC
}

// A relay that cannot print that it is ready still serves, and logs the failure.
func TestFullStandardOutputIsLogged(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var log lockedBuffer
	args := []string{"serve", "-listen", "127.0.0.1:0", "-turn", "127.0.0.1:0", "-state", t.TempDir()}
	if err := run(ctx, nil, args, fullOutput{cancel}, &log); err != nil {
		t.Error(err)
	}
	const want = `msg="ready, but standard output did not accept the line that says so" err="no space left on device"`
	if !strings.Contains(log.String(), want) {
		t.Errorf("the log lacks %q:\n%s", want, &log)
	}
}
