package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"

	"github.com/peephole-cam/peephole/internal/doctor"
	"github.com/peephole-cam/peephole/signaling"
)

const doctorUsage = `relay doctor [flags]

Examines a running relay from its own machine: the names and ports that devices are told, the certificate, the secrets' file
modes, and what the kernel grants. Prints a line for each check, with what to change. It exits with 1 when something is bad. Run it as
the relay's user, with the flags of relay serve, or its -config file; besides:

  -json         print one JSON object
  -addresses    print addresses too

Whether the world gets in only another network shows: run viewer doctor -relay URL there.
`

func doctorCommand(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var c config
	set, file := c.flags(stderr)
	set.Usage = func() { fmt.Fprint(stderr, doctorUsage) }
	asJSON := set.Bool("json", false, "")
	addresses := set.Bool("addresses", false, "")
	if err := c.parse(set, file, args); err != nil {
		return err
	}
	o, err := c.examined()
	if err != nil {
		return err
	}
	o.Addresses = *addresses
	return o.Examine(ctx).Write(stdout, *asJSON)
}

// examined is the relay of a configuration, as devices find it.
func (c *config) examined() (doctor.Operator, error) {
	at, err := net.ResolveTCPAddr("tcp", c.listen)
	if err != nil {
		return doctor.Operator{}, fmt.Errorf("-listen %s: %w", c.listen, err)
	}
	o := doctor.Operator{Relay: doctor.Relay{URL: c.publicURL}, Certificate: c.tlsCert, SelfSigned: c.tlsSelfSigned}
	if o.URL == "" {
		if at.Port == 0 {
			return o, errors.New("-listen names no port: say where the relay is with -public-url")
		}
		o.URL = c.derivedURL(at)
	}
	o.Secrets = []string{filepath.Join(c.state, operatorFile), filepath.Join(c.state, certificateFile)}
	if c.tlsKey != "" {
		o.Secrets = append(o.Secrets, c.tlsKey)
	}
	if c.tlsSelfSigned {
		o.Certificate = filepath.Join(c.state, certificateFile)
		if o.Trust, err = signaling.TrustFile(o.Certificate); err != nil {
			return o, fmt.Errorf("%w; relay serve -tls-self-signed makes one", err)
		}
	}
	return o, nil
}

// servers tells everybody which servers for ICE this relay has, without credentials: relay doctor and viewer doctor ask.
func (r *relay) servers() http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		if err := json.NewEncoder(w).Encode(doctor.Servers{URLs: r.turn.urls}); err != nil {
			r.log.Debug("tell servers", "err", err)
		}
	}
}
