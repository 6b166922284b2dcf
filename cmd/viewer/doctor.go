package main

import (
	"context"
	"errors"
	"flag"
	"slices"

	"github.com/peephole-cam/peephole/internal/doctor"
)

// maxRelays bounds what one examination asks.
const maxRelays = 8

var errNoRelay = errors.New("no relay to test by: pair with a camera, or say -relay URL")

func (c *command) doctor(ctx context.Context, args []string) error {
	fs := flag.NewFlagSet("doctor", flag.ContinueOnError)
	asJSON := fs.Bool("json", false, "print one JSON object")
	addresses := fs.Bool("addresses", false, "print addresses too, yours among them: think before you show it to others")
	var urls []string
	fs.Func("relay", "`URL` of a relay to test by; may be repeated: two at different addresses show more (default: those of the cameras you are paired with)", func(url string) error {
		urls = append(urls, url)
		return nil
	})
	if _, err := c.arguments(fs, args, ""); err != nil {
		return err
	}
	if len(urls) == 0 {
		for _, camera := range c.viewer.Cameras() {
			urls = append(urls, camera.RelayURL)
		}
		slices.Sort(urls)
		urls = slices.Compact(urls)
	}
	if len(urls) == 0 {
		return errNoRelay
	}
	n := doctor.Network{Addresses: *addresses}
	if c.ports != nil {
		n.PortMapper = c.ports
	}
	for _, url := range urls[:min(len(urls), maxRelays)] {
		if err := doctor.CheckURL(url); err != nil {
			return err
		}
		n.Relays = append(n.Relays, doctor.Relay{URL: url, Trust: c.tls})
	}
	return n.Examine(ctx).Write(c.stdout, *asJSON)
}
