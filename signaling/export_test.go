package signaling

import "net/http"

// SetTransport makes a client reach its relay through t.
func (c *Client) SetTransport(t http.RoundTripper) { c.http.Transport = t }

// OpenStatement returns what the signature of an Open covers.
var OpenStatement = openStatement
