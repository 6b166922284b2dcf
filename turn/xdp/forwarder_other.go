//go:build !linux

package xdp

// Forwarder exists only on Linux.
type Forwarder struct{}

// Attach returns ErrUnsupported.
func Attach(Config) (*Forwarder, error) { return nil, ErrUnsupported }

// Close does nothing.
func (*Forwarder) Close() error { return nil }

// AddClient returns ErrUnsupported.
func (*Forwarder) AddClient() (Client, error) { return 0, ErrUnsupported }

// RemoveClient returns ErrUnsupported.
func (*Forwarder) RemoveClient(Client) error { return ErrUnsupported }

// AddTokenBucket returns ErrUnsupported.
func (*Forwarder) AddTokenBucket(int64) (TokenBucket, error) { return 0, ErrUnsupported }

// RemoveTokenBucket does nothing.
func (*Forwarder) RemoveTokenBucket(TokenBucket) {}

// SetRoute returns ErrUnsupported.
func (*Forwarder) SetRoute(Channel, Route) error { return ErrUnsupported }

// DeleteRoute returns ErrUnsupported.
func (*Forwarder) DeleteRoute(Channel) error { return ErrUnsupported }

// Counts returns ErrUnsupported.
func (*Forwarder) Counts() (Counts, error) { return Counts{}, ErrUnsupported }
