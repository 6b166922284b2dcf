//go:build !linux

package xdp

// Forwarder is for Linux only.
type Forwarder struct{}

// Attach returns ErrUnsupported.
func Attach(Config) (*Forwarder, error) { return nil, ErrUnsupported }

// Close does nothing.
func (*Forwarder) Close() error { return nil }

// AddClient returns ErrUnsupported.
func (*Forwarder) AddClient() (Client, error) { return 0, ErrUnsupported }

// RemoveClient returns ErrUnsupported.
func (*Forwarder) RemoveClient(Client) error { return ErrUnsupported }

// AddPace returns ErrUnsupported.
func (*Forwarder) AddPace(int64) (Pace, error) { return 0, ErrUnsupported }

// RemovePace does nothing.
func (*Forwarder) RemovePace(Pace) {}

// Set returns ErrUnsupported.
func (*Forwarder) Set(Channel, Route) error { return ErrUnsupported }

// Delete returns ErrUnsupported.
func (*Forwarder) Delete(Channel) error { return ErrUnsupported }

// Counts returns ErrUnsupported.
func (*Forwarder) Counts() (Counts, error) { return Counts{}, ErrUnsupported }
