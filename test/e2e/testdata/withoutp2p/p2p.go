// Package p2p stands in for the real one where a test wants to know what that adds to a program. It can do nothing.
package p2p

import (
	"context"
	"crypto/ed25519"
	"errors"
	"log/slog"
	"net"
)

// Config is what a camera says.
type Config struct {
	Key    ed25519.PrivateKey
	LAN    bool
	Relays []string
	Logger *slog.Logger
}

// Listener is never opened.
type Listener struct{ net.Listener }

// Listen fails.
func Listen(Config) (*Listener, error) { return nil, errors.ErrUnsupported }

// Run fails.
func (*Listener) Run(context.Context) error { return errors.ErrUnsupported }

// CheckRelay fails.
func CheckRelay(string) error { return errors.ErrUnsupported }
