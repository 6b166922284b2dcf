//go:build !linux

package portmap

// defaultRoute is not known on this system.
func defaultRoute() (route, error) { return route{}, ErrNoRouter }
