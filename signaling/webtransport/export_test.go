package webtransport

// WriteRaw sends bytes that need be no message.
func (c *Conn) WriteRaw(b []byte) error {
	_, err := c.stream.Write(b)
	return err
}

// Unproven returns how many handshakes are under way with addresses that have proven nothing.
func (s *Server) Unproven() int64 { return s.unproven.Load() }

// WantsProof reports whether the next client must first answer from its address.
func (s *Server) WantsProof() bool { return s.quic.VerifySourceAddress(nil) }
