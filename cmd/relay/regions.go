package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/BurntSushi/toml"

	"github.com/peephole-cam/peephole/cmd/internal/cli"
	"github.com/peephole-cam/peephole/signaling"
	"github.com/peephole-cam/peephole/signaling/region"
	"github.com/peephole-cam/peephole/turn"
)

var regionsHelp = cli.Help{
	Name: "relay regions",
	Text: `relay regions sign -state /var/lib/peephole regions.toml > regions.map
relay regions show regions.map

A signed map tells devices which relays an operator has in which regions. Sign
it on the machine that holds the operator's key, copy it to every relay, and
start each with relay serve -regions FILE. A single relay needs no map.

regions.toml has a table for each region:

  [[region]]
  name = "frankfurt"
  url  = "https://fra.relay.example"
  turn = "fra.relay.example:3478"
  stun = "fra.relay.example:3479"   # only if STUN is elsewhere
  key  = "…"                        # what relay regions key prints there

With keys, each region grants access to the TURN servers of the others.

  relay regions sign [flags] REGIONS.toml   print a signed map
  relay regions show FILE                   print what a signed map says
  relay regions key [flags]                 print the key of a region
`,
}

var signRegionsHelp = cli.Help{
	Name: "relay regions sign",
	Text: `relay regions sign -state /var/lib/peephole regions.toml > regions.map

Prints a signed map of the regions in a TOML file; relay regions -h shows the
format. The map is signed with the key that signs tickets.
`,
}

func regionsCommand(args []string, stdout, stderr io.Writer) error {
	if len(args) > 0 {
		switch args[0] {
		case "sign":
			return signRegions(args[1:], stdout, stderr)
		case "show":
			return showRegions(args[1:], stdout)
		case "key":
			return regionKey(args[1:], stdout)
		}
	}

	set := flag.NewFlagSet(regionsHelp.Name, flag.ContinueOnError)
	if err := regionsHelp.Parse(set, args, stdout); err != nil {
		return err
	}
	if set.NArg() == 0 {
		return errors.New("no command; try: relay regions sign, or relay regions -h")
	}
	return fmt.Errorf("unknown command %q; try: relay regions sign, or relay regions -h", set.Arg(0))
}

// signRegions prints a signed map of the regions in a TOML file. It says so if it had to make a key, since that may be
// the wrong one.
func signRegions(args []string, stdout, stderr io.Writer) error {
	set := flag.NewFlagSet(signRegionsHelp.Name, flag.ContinueOnError)
	state := set.String("state", "relay-state", "`folder` with the operator's key, which is made if there is none")
	days := cli.Int(set, "days", 90, 1, maxDays,
		"the map is valid for `N` days, 1 to 3650; sign the next one before it expires")
	if err := signRegionsHelp.Parse(set, args, stdout); err != nil {
		return err
	}
	if set.NArg() != 1 {
		return errors.New("want one REGIONS.toml; see relay regions -h")
	}

	regions, err := readRegionsTOML(set.Arg(0))
	if err != nil {
		return err
	}
	now := time.Now().Truncate(time.Second)
	m := region.Map{Issued: now, NotAfter: now.AddDate(0, 0, *days), Regions: regions}
	key, err := operatorKeyFile.read(*state)
	missing := errors.Is(err, fs.ErrNotExist)
	if missing {
		key, err = newKey(), nil
	}
	if err != nil {
		return err
	}

	wire, err := m.Sign(key)
	if err != nil {
		return fmt.Errorf("%s: %w", set.Arg(0), err)
	}
	if missing {
		if err := operatorKeyFile.write(*state, key); err != nil {
			return err
		}
		fmt.Fprintf(stderr, "made a new operator key in %s: devices that know another one will refuse this map\n",
			*state)
	}
	if _, err := stdout.Write(wire); err != nil {
		return fmt.Errorf("print map of regions: %w", err)
	}
	return nil
}

var regionKeyHelp = cli.Help{
	Name: "relay regions key",
	Text: `relay regions key -state /var/lib/peephole

Prints the public key of this relay's region, for the "key" of its table in
regions.toml. It makes the key if there is none. All relays of one region need
the same: copy region.key to their -state folders. To replace it, remove the
file, print the new key, and sign the map again.
`,
}

// regionKey prints a line for regions.toml.
func regionKey(args []string, stdout io.Writer) error {
	set := flag.NewFlagSet(regionKeyHelp.Name, flag.ContinueOnError)
	state := set.String("state", "relay-state", "`folder` with the region's key, which is made if there is none")
	if err := regionKeyHelp.Parse(set, args, stdout); err != nil {
		return err
	}
	if set.NArg() != 0 {
		return fmt.Errorf("unexpected argument %q; see relay regions key -h", set.Arg(0))
	}

	seed, err := regionKeyFile.load(*state)
	if err != nil {
		return err
	}
	key, err := turn.NewRegionKey(seed.Seed())
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(stdout, "key  = %q\n", region.KeyText(key.Public())); err != nil {
		return fmt.Errorf("print region key: %w", err)
	}
	return nil
}

// regionSeed reads the seed of the region's key.
func regionSeed(state string) ([]byte, error) {
	key, err := regionKeyFile.read(state)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w; make one with relay regions key, and sign the map with it", err)
	}
	if err != nil {
		return nil, err
	}
	return key.Seed(), nil
}

// readRegionsTOML reads the regions that a person has written down. It refuses unknown keys, which may be misspellings.
func readRegionsTOML(path string) ([]region.Region, error) {
	text, err := signaling.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read regions: %w", err)
	}
	var file struct {
		Region []region.Region `toml:"region"`
	}
	meta, err := toml.Decode(string(text), &file)
	if err != nil {
		return nil, fmt.Errorf("read regions %s: %w; relay regions -h shows the format", path, err)
	}
	if unknown := meta.Undecoded(); len(unknown) > 0 {
		return nil, fmt.Errorf("read regions %s: unknown key %q: want region tables with name, url, turn, stun and key",
			path, unknown[0])
	}
	return file.Region, nil
}

// readRegions reads a signed map for relay serve.
func readRegions(path string) ([]byte, error) {
	wire, err := signaling.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read -regions: %w; make one with relay regions sign", err)
	}
	if err != nil {
		return nil, fmt.Errorf("read -regions: %w", err)
	}
	if _, _, err := region.Read(wire, time.Now()); err != nil && !errors.Is(err, region.ErrExpired) {
		return nil, fmt.Errorf("-regions %s: %w", path, adviseMap(err))
	}
	return wire, nil
}

// adviseMap extends an error from reading a map with what to do about it.
func adviseMap(err error) error {
	switch {
	case errors.Is(err, region.ErrVersion):
		return fmt.Errorf("%w: update this program", err)
	case errors.Is(err, region.ErrExpired):
		return fmt.Errorf("%w: sign a new one with relay regions sign", err)
	}
	return fmt.Errorf("%w: give the file that relay regions sign has printed", err)
}

// showRegions prints what a signed map says, and fails if it is not valid.
func showRegions(args []string, stdout io.Writer) error {
	set := flag.NewFlagSet("relay regions show", flag.ContinueOnError)
	if err := regionsHelp.Parse(set, args, stdout); err != nil {
		return err
	}
	if set.NArg() != 1 {
		return errors.New("want one file, a signed map; see relay regions -h")
	}

	file := set.Arg(0)
	wire, err := signaling.ReadFile(file)
	if err != nil {
		return fmt.Errorf("read map of regions: %w", err)
	}
	m, operator, err := region.Read(wire, time.Now())
	if err != nil && !errors.Is(err, region.ErrExpired) {
		return fmt.Errorf("%s: %w", file, adviseMap(err))
	}

	out := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(out, "operator\t%s\n", region.KeyText(operator))
	fmt.Fprintf(out, "issued\t%s\n", m.Issued.Format(time.RFC3339))
	fmt.Fprintf(out, "expires\t%s\n", m.NotAfter.Format(time.RFC3339))
	for _, r := range m.Regions {
		fmt.Fprintf(out, "region\t%s\t%s\tturn %s\t%s\n", r.Name, r.URL, r.TURN, restOf(r))
	}
	if flushing := out.Flush(); flushing != nil {
		return fmt.Errorf("print map of regions: %w", flushing)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", file, adviseMap(err))
	}
	return nil
}

// restOf returns what not every region has.
func restOf(r region.Region) string {
	var rest []string
	if r.STUN != "" {
		rest = append(rest, "stun "+r.STUN)
	}
	if r.Key != "" {
		rest = append(rest, "key "+r.Key)
	}
	return strings.Join(rest, "  ")
}
