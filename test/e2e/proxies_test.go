package e2e

import (
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/peephole-cam/peephole/test/natlab"
	"github.com/peephole-cam/peephole/test/reserve"
	"github.com/peephole-cam/peephole/test/selfsigned"
)

// proxyConfigs returns doc/operations.md's configurations for a program, in order.
func proxyConfigs(t *testing.T, program string) (configs []string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "doc", "operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)\n```" + program + "\n(.*?)\n```\n")
	for _, m := range block.FindAllStringSubmatch(string(text), -1) {
		configs = append(configs, m[1]+"\n")
	}

	return configs
}

// proxy is a program in front of a relay.
type proxy struct {
	name   string
	config string
	tcp    bool // passes TCP on, with a PROXY header
}

// front starts a relay behind a proxy, at url. flags are those for clients.
func (p proxy) front(t *testing.T) (relay *process, url string, flags []string) {
	t.Helper()
	need(t, p.name)
	dir, public, behind := t.TempDir(), reserve.For(t), reserve.For(t)
	url = "https://" + public
	certificate, both := writeCertificates(t, dir)

	args := []string{"serve", "-listen", behind, "-turn", "127.0.0.1:0", "-state", dir, "-public-url", url,
		"-trusted-proxies", "127.0.0.1"}
	if p.tcp {
		args = append(args, "-tls-cert", both, "-tls-key", both, "-proxy-header", "proxy-protocol")
	}

	relay = start(t, "relay", args...)
	relay.line(t, "ready ")

	_, port, _ := net.SplitHostPort(public)
	config := strings.NewReplacer(
		"listen 443 ", "listen "+public+" ",
		"bind :443", "bind 127.0.0.1:"+port,
		"127.0.0.1:7880", behind,
		"/etc/ssl/relay.example.pem", both,
		"/etc/ssl/relay.example.key", both,
		"server_name relay.example;", "",
	).Replace(p.config)

	p.start(t, dir, config, public)
	return relay, url, []string{"-relay-cert", certificate}
}

// start runs the program itself, until the test ends.
func (p proxy) start(t *testing.T, dir, config, public string) {
	t.Helper()
	file := filepath.Join(dir, p.name+".conf")
	var cmd *exec.Cmd
	switch p.name {
	case "nginx":
		config = "daemon off; master_process off; error_log stderr; pid " + dir + "/pid;\n" +
			"events {}\nhttp {\naccess_log off;\n" + temporary(dir, "client_body", "proxy", "fastcgi", "uwsgi",
			"scgi") + config + "}\n"
		cmd = exec.Command("nginx", "-p", dir, "-c", file)
	case "haproxy":
		cmd = exec.Command("haproxy", "-db", "-f", file)
	}

	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}

	said := &tape{}
	cmd.Stdout, cmd.Stderr = said, said
	if err := natlab.StartOutside(t.Cleanup, cmd); err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s said:\n%s", p.name, said.data.String())
		}
	})

	eventually(t, p.name+" listens", func() bool {
		conn, err := net.Dial("tcp", public)
		if err != nil {
			return false
		}
		return conn.Close() == nil
	})
}

// temporary makes nginx put its temporary files into dir.
func temporary(dir string, what ...string) (lines string) {
	for _, w := range what {
		lines += w + "_temp_path " + dir + "/" + w + ";\n"
	}
	return lines
}

// writeCertificates writes a certificate for 127.0.0.1, and a second file that holds its key too.
func writeCertificates(t *testing.T, dir string) (certificate, both string) {
	t.Helper()
	chain, secret := selfsigned.PEM(t, selfsigned.New(t, "127.0.0.1"))
	certificate, both = filepath.Join(dir, "relay.pem"), filepath.Join(dir, "both.pem")
	for path, text := range map[string][]byte{certificate: chain, both: append(chain, secret...)} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}

	return certificate, both
}

// examined returns what viewer doctor finds.
func examined(t *testing.T, v terminal, args ...string) (d diagnosis) {
	t.Helper()
	o := v.run(t, append([]string{"doctor", "-json"}, args...)...)
	if err := json.Unmarshal([]byte(o.stdout), &d); err != nil {
		t.Fatalf("%v: %s%s", err, o.stdout, o.stderr)
	}
	return d
}

// examinedByOperator returns what relay doctor finds out about a relay, with its own flags.
func examinedByOperator(t *testing.T, relay *process, certificate string, args ...string) (d diagnosis) {
	t.Helper()
	args = append(append([]string{"doctor", "-json"}, args...), relay.Args[2:]...)
	cmd := exec.CommandContext(t.Context(), relay.Path, args...)
	cmd.Env = append(os.Environ(), "SSL_CERT_FILE="+certificate)
	out, err := cmd.Output() // it exits with 1 if something is bad
	if err := json.Unmarshal(out, &d); err != nil {
		t.Fatalf("%v: %s", err, out)
	}

	if d.OK != (err == nil) {
		t.Errorf("ok: %t, and it ends with %v", d.OK, err)
	}
	return d
}

// The proxies of doc/operations.md, configured exactly as printed there, pass on everything that a relay needs.
func TestProxiesOfTheManual(t *testing.T) {
	t.Parallel()
	nginx, haproxy := proxyConfigs(t, "nginx"), proxyConfigs(t, "haproxy")
	if len(nginx) != 1 || len(haproxy) != 2 {
		t.Fatalf("the manual has %d configurations of nginx and %d of HAProxy", len(nginx), len(haproxy))
	}
	for name, p := range map[string]proxy{
		"nginx":            {"nginx", nginx[0], false},
		"HAProxy for HTTP": {"haproxy", haproxy[0], false},
		"HAProxy for TCP":  {"haproxy", haproxy[1], true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, url, flags := p.front(t)
			_, links := startCameraSims(t, url, 1, flags...)
			v := newTerminal(t, flags...)
			v.ok(t, "pair", links["sim-0"])
			v.ok(t, "watch", "sim-0", "-frames", "5")
			v.ok(t, "watch", "sim-0", "-frames", "5", "-relay-only")

			d := examined(t, v, "-idle", "5s")
			for _, check := range []string{"https", "certificate", "clock", "signaling", "udp", "tcp", "tls"} {
				if check == "tls" && !p.tcp || check == "tcp" && p.tcp {
					// a proxy that terminates TLS leaves none for TURN; clients must come from the proxy's address
					continue
				}
				if got := d.of(check); !strings.HasPrefix(got, "ok ") {
					t.Errorf("%s: %s", check, got)
				}
			}
		})
	}
}

// A misconfigured proxy is named by the camera, by the viewer and by its doctor. If it only cuts idle connections,
// everything still works.
func TestWrongProxyIsNamed(t *testing.T) {
	t.Parallel()
	nginx, haproxy := proxyConfigs(t, "nginx")[0], proxyConfigs(t, "haproxy")[0]
	without := func(config string, lines ...string) string {
		for _, line := range lines {
			if !strings.Contains(config, line) {
				t.Fatalf("no %q in\n%s", line, config)
			}
			config = strings.Replace(config, line, "", 1)
		}
		return config
	}

	const dropped = "a proxy on the way drops WebSocket: have it pass the Upgrade and Connection headers on"
	for name, tt := range map[string]struct {
		proxy
		value, says string
		works       bool
	}{
		"nginx as it comes": {
			proxy{"nginx", without(nginx, "proxy_http_version 1.1;", "proxy_set_header Upgrade $http_upgrade;",
				`proxy_set_header Connection "upgrade";`), false},
			"bad upgrade", dropped, false,
		},
		"HAProxy that takes Upgrade off": {
			proxy{"haproxy", strings.Replace(haproxy, "    http-request set-header",
				"    http-request del-header Upgrade\n    http-request set-header", 1), false},
			"bad upgrade", dropped, false,
		},
		"nginx that cuts what is idle": {
			proxy{"nginx", strings.Replace(nginx, "proxy_read_timeout 1h", "proxy_read_timeout 4s", 1), false},
			"bad cut", "a proxy on the way cuts connections that are idle for", true,
		},
		"HAProxy that cuts what is idle": {
			proxy{"haproxy", strings.Replace(haproxy, "timeout tunnel 1h", "timeout tunnel 4s", 1), false},
			"bad cut", "a proxy on the way cuts connections that are idle for", true,
		},
		"a relay that is away": {
			proxy{"nginx", strings.Replace(nginx, "127.0.0.1:7880", "127.0.0.1:1", 1), false},
			"bad no", "a proxy in front of it cannot reach it (HTTP 502)", false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			relay, url, flags := tt.front(t)
			camera, links := startCameraSims(t, url, 1, flags...)
			v := newTerminal(t, flags...)
			d := examined(t, v, "-relay", url, "-idle", "10s")
			if got := d.of("signaling"); got != tt.value {
				t.Errorf("the doctor finds %q, want %q", got, tt.value)
			}

			if got := examinedByOperator(t, relay, flags[1], "-idle", "10s").of("signaling"); got != tt.value {
				t.Errorf("the relay's doctor finds %q, want %q", got, tt.value)
			}
			camera.await(t, tt.says, 1)
			o := v.run(t, "pair", links["sim-0"])
			if tt.works != (o.code == 0) || !tt.works && !strings.Contains(o.stderr, tt.says) {
				t.Errorf("pair: exit %d, %s", o.code, o.stderr)
			}
		})
	}
}
