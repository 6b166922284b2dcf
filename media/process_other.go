//go:build !linux

package media

import "os/exec"

// bind leaves cmd as it is: killed with its context, but not with a parent that is killed itself.
func bind(*exec.Cmd) {}
