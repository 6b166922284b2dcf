package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/peephole-cam/peephole/test/evilcloud"
)

// openCloud makes a cloud of some nodes on this machine, each with an address of its own: the addresses of the state's
// last experiment if there was one, since the households' pairs name their relays.
func openCloud(nodes int, state string) (*evilcloud.Cloud, error) {
	file := filepath.Join(state, "cloud.json")
	var cfg evilcloud.Config
	text, err := os.ReadFile(file)
	switch {
	case err == nil:
		if err := json.Unmarshal(text, &cfg); err != nil {
			return nil, fmt.Errorf("read %s: %w", file, err)
		}
	case errors.Is(err, fs.ErrNotExist):
		for i := range nodes {
			at := fmt.Sprintf("127.0.0.%d:0", 1+i)
			cfg.Signaling, cfg.TURN = append(cfg.Signaling, at), append(cfg.TURN, at)
		}
	default:
		return nil, fmt.Errorf("read cloud's addresses: %w", err)
	}

	c, err := evilcloud.New(cfg)
	if err != nil {
		return nil, err
	}
	cfg.Signaling, cfg.TURN = c.Addresses()
	text, err = json.Marshal(cfg)
	if err == nil {
		err = os.MkdirAll(state, 0o700)
	}

	if err == nil {
		err = os.WriteFile(file, text, 0o600)
	}
	if err != nil {
		return nil, fmt.Errorf("write cloud's addresses: %w", err)
	}
	return c, nil
}
