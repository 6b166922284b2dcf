package signaling

// ServersPath is the path at which a relay tells everybody which ICE servers it has, as a JSON object, Servers.
const ServersPath = "/v1/servers"

// Servers holds ICE server URLs (RFC 7064, RFC 7065), without the credentials that the servers want.
type Servers struct {
	URLs []string `json:"urls"`
}
