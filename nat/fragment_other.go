//go:build !linux

package nat

// forbidFragments does nothing: only Linux offers it here. Elsewhere a packet that got through may have been in pieces.
func (s *Socket) forbidFragments() {}
