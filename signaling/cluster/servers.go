// Package cluster joins the relay processes of one region through NATS servers that the operator runs.
//
// It is not part of the SDK (doc/sdk.md): its API may change at any time.
package cluster

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/peephole-cam/peephole/redact"
	"github.com/peephole-cam/peephole/relayurl"
)

const (
	maxServers     = 16
	dialTimeout    = 2 * time.Second
	pingInterval   = 2 * time.Second
	maxPingsOut    = 2
	reconnectDelay = 250 * time.Millisecond
)

// Servers are the NATS servers of a region. Several should be named, since servers that are not are never used.
type Servers struct {
	URLs        []string // see ParseURLs
	Credentials string   // file with a NATS user's JWT and key; "" if the servers want none
	CA          string   // file with the certificates that tls:// servers are checked against; "" means the system's
}

// ParseURLs parses the URLs of NATS servers, which commas separate: tls://HOST[:PORT], or nats:// on this machine. The
// URLs must not have secrets in them, since anybody here can read a command line.
func ParseURLs(list string) ([]string, error) {
	var all []string
	for one := range strings.SplitSeq(list, ",") {
		u, err := url.Parse(strings.TrimSpace(one))
		switch {
		case err != nil || u.Hostname() == "" || u.Scheme != "tls" && u.Scheme != "nats",
			strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
			return nil, fmt.Errorf("%q: want tls://HOST:PORT, or nats://HOST:PORT on this machine", redact.Text(one))
		case u.User != nil:
			return nil, fmt.Errorf("the URL of server %s has a user in it: give a file with credentials", u.Host)
		case u.Scheme == "nats" && !relayurl.IsLoopbackHost(u.Hostname()):
			return nil, fmt.Errorf("nats://%s is not encrypted: want tls:// for servers on other machines", u.Host)
		}
		all = append(all, u.Scheme+"://"+u.Host)
	}

	if len(all) > maxServers {
		return nil, fmt.Errorf("%d NATS servers: want %d at most", len(all), maxServers)
	}
	return all, nil
}

// Connect connects to one of the servers. The connection moves to another one when it is lost, for as long as it takes.
// Meanwhile nothing is kept to be sent later.
func (s Servers) Connect(options ...nats.Option) (*nats.Conn, error) {
	all := []nats.Option{
		nats.Name("peephole relay"),
		nats.Timeout(dialTimeout),
		nats.PingInterval(pingInterval),
		nats.MaxPingsOutstanding(maxPingsOut),
		nats.MaxReconnects(-1),
		nats.CustomReconnectDelay(func(int) time.Duration { return reconnectDelay + rand.N(reconnectDelay) }),
		nats.ReconnectBufSize(-1),
		nats.IgnoreDiscoveredServers(),
		nats.IgnoreAuthErrorAbort(),
	}
	if s.Credentials != "" {
		all = append(all, nats.UserCredentials(s.Credentials))
	}
	if s.CA != "" {
		all = append(all, nats.RootCAs(s.CA))
	}

	conn, err := nats.Connect(strings.Join(s.URLs, ","), append(all, options...)...)
	if errors.Is(err, nats.ErrNoServers) {
		err = errors.New("no server answers")
	}
	if err != nil {
		return nil, fmt.Errorf("connect to NATS at %s: %w", strings.Join(s.URLs, " "), err)
	}
	return conn, nil
}
