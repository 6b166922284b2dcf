package main

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/url"
	"path/filepath"
	"time"

	"github.com/peephole-cam/peephole/cmd/internal/cli"
	"github.com/peephole-cam/peephole/cmd/internal/doctor"
	"github.com/peephole-cam/peephole/p2p"
	"github.com/peephole-cam/peephole/signaling"
)

var doctorHelp = cli.Help{
	Name: "relay doctor",
	Text: `relay doctor -config /etc/peephole/relay.json

Examines a running relay from its own machine: the names and ports that devices
learn, the certificate, the modes of secret files, and the kernel's limits.
Each line is one check, and says what to change if it failed. It exits with 1 if
any check is bad. Run it as the relay's user, with the flags of relay serve, or
its -config file. To see whether the internet reaches the relay, use another
network: viewer doctor -relay URL.
`,
	Common: []string{"config", "listen", "public-url", "state", "json", "addresses", "idle"},
}

func doctorCommand(ctx context.Context, args []string, stdout io.Writer) error {
	var c config
	set, file := c.flags("relay doctor")
	asJSON := set.Bool("json", false, "print one JSON object")
	addresses := set.Bool("addresses", false, "show IP addresses too")
	idle := cli.Duration(set, "idle", doctor.Idle, 0, 10*time.Minute,
		"leave a connection idle for this `time`, to find a proxy that cuts it")
	if err := c.parse(doctorHelp, set, file, args, stdout); err != nil {
		return err
	}

	o, err := c.operator()
	if err != nil {
		return err
	}
	o.Addresses, o.Idle = *addresses, *idle
	return o.Examine(ctx).Write(stdout, *asJSON)
}

// operator returns what to examine: the configured relay, at the URL that devices use.
func (c *config) operator() (doctor.Operator, error) {
	at, err := net.ResolveTCPAddr("tcp", c.listen)
	if err != nil {
		return doctor.Operator{}, fmt.Errorf("-listen %s: %w", c.listen, err)
	}
	o := doctor.Operator{
		Relay:       doctor.Relay{URL: c.publicURL},
		Certificate: c.tlsCert,
		SelfSigned:  c.tlsSelfSigned,
		Regions:     c.regions,
	}
	if o.URL == "" {
		if at.Port == 0 {
			return o, errors.New("-listen names no port: say where the relay is with -public-url")
		}
		o.URL = c.derivedURL(at)
	}

	for _, file := range []string{operatorKeyFile.file, regionKeyFile.file, hostKeyFile.file, certificateFile} {
		o.Secrets = append(o.Secrets, filepath.Join(c.state, file))
	}
	if c.tlsKey != "" {
		o.Secrets = append(o.Secrets, c.tlsKey)
	}
	if c.tlsSelfSigned {
		o.Certificate = filepath.Join(c.state, certificateFile)
		if o.Trust, err = signaling.TrustFile(o.Certificate); err != nil {
			return o, fmt.Errorf("%w; relay serve -tls-self-signed makes one", err)
		}
	}

	if c.p2p != "" {
		o.Circuits, err = c.circuits(o.URL)
	}
	return o, err
}

// circuits returns the multiaddr of the circuit relay, at the host of the URL that devices use.
func (c *config) circuits(relayURL string) (string, error) {
	at, err := net.ResolveUDPAddr("udp", c.p2p)
	if err != nil {
		return "", fmt.Errorf("-p2p %s: %w", c.p2p, err)
	}
	if at.Port == 0 {
		return "", errors.New("-p2p names no port: give the one that relay serve prints")
	}
	u, err := url.Parse(relayURL)
	if err != nil {
		return "", fmt.Errorf("-public-url: %w", err)
	}

	key, err := hostKeyFile.read(c.state)
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%w; relay serve -p2p makes one", err)
	}
	if err != nil {
		return "", err
	}
	return p2p.RelayAddress(u.Hostname(), uint16(at.Port), key.Public().(ed25519.PublicKey))
}
