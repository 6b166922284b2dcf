//go:build !linux

package sandbox

import "runtime"

// start starts the program without protections. It is killed when its context ends, but not when its parent is killed.
func (p *Process) start(needs *Needs) error {
	if needs != nil {
		p.Held.Missing = []string{"protections: none are known for " + runtime.GOOS}
	}
	return p.cmd.Start()
}
