//go:build !linux

package nat

// forbidFragments is for Linux alone; elsewhere what gets through may have been in pieces.
func (s *Socket) forbidFragments() {}
