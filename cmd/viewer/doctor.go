package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"slices"
	"time"

	"github.com/peephole-cam/peephole/cmd/internal/cli"
	"github.com/peephole-cam/peephole/cmd/internal/doctor"
	"github.com/peephole-cam/peephole/relayurl"
)

// maxRelays bounds how many relays one examination contacts.
const maxRelays = 8

var errNoRelay = errors.New("no relay to test: pair with a camera first, or say -relay URL")

var doctorHelp = cli.Help{
	Name: "viewer doctor",
	Text: `viewer doctor -relay https://relay.example

Tests the connection from this network to the relay, and looks for your cameras
on this network. Each line is one check, and says what to change if it failed.
It exits with 1 if any check is bad.
`,
}

func (c *command) doctor(ctx context.Context, args []string) error {
	fs := flag.NewFlagSet("doctor", flag.ContinueOnError)
	asJSON := fs.Bool("json", false, "print one JSON object")
	addresses := fs.Bool("addresses", false, "show IP addresses too, including yours: think before you share them")
	idle := cli.Duration(fs, "idle", doctor.Idle, 0, 10*time.Minute,
		"leave the connection to the relay idle for this `time`, to find a proxy that cuts it")
	var urls []string
	fs.Func("relay", "`URL` of a relay to test, instead of those of your cameras. "+
		"Repeat it for several: two at different addresses show more", func(url string) error {
		if urls = append(urls, url); len(urls) > maxRelays {
			return fmt.Errorf("want at most %d relays", maxRelays)
		}
		return nil
	})
	if _, err := c.parse(doctorHelp, fs, args, ""); err != nil {
		return err
	}

	if len(urls) == 0 {
		urls = c.pairedRelays()
	}
	if len(urls) == 0 {
		return errNoRelay
	}
	network := doctor.Network{Addresses: *addresses, Cameras: c.lanCameras()}
	if c.ports != nil {
		network.PortMapper = c.ports
	}
	for _, url := range urls[:min(len(urls), maxRelays)] {
		url, err := relayurl.Normalize(url)
		if err != nil {
			return fmt.Errorf("read relay URL: %w", err)
		}
		network.Relays = append(network.Relays, doctor.Relay{URL: url, Trust: c.tls, Idle: *idle})
	}
	return network.Examine(ctx).Write(c.stdout, *asJSON)
}

// pairedRelays returns the URLs of all paired cameras' relays, each once.
func (c *command) pairedRelays() (urls []string) {
	for _, camera := range c.viewer.Cameras() {
		urls = append(urls, camera.RelayURL)
	}
	slices.Sort(urls)
	return slices.Compact(urls)
}

// lanCameras returns the cameras that can be looked for on this network.
func (c *command) lanCameras() (cameras []doctor.Camera) {
	for _, camera := range c.viewer.LANCameras() {
		find := func(ctx context.Context) error { return c.viewer.FindOnLAN(ctx, camera.ID) }
		cameras = append(cameras, doctor.Camera{Name: camera.Name, Find: find})
	}
	return cameras
}
