//go:build !linux

package portmap

// defaultRoute returns ErrNoRouter: finding the gateway is not implemented for this system.
func defaultRoute() (route, error) { return route{}, ErrNoRouter }
