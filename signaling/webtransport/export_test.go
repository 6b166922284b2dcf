package webtransport

// WriteRaw sends bytes that need be no message.
func (c *Conn) WriteRaw(b []byte) error {
	_, err := c.stream.Write(b)
	return err
}
