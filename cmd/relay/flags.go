package main

import (
	"flag"
	"time"

	"github.com/peephole-cam/peephole/cmd/internal/cli"
	"github.com/peephole-cam/peephole/relay"
	"github.com/peephole-cam/peephole/turn"
)

var serveHelp = cli.Help{
	Name: "relay serve",
	Text: `relay serve -listen :443 -turn :3478 -public-url https://relay.example \
  -tls-cert cert.pem -tls-key key.pem -state /var/lib/peephole

Serves signaling, the web page and TURN until Ctrl-C, and prints "ready URL"
once it does. Without flags it serves this machine alone, on 127.0.0.1:7880.
The -config file is a JSON object of flags, such as {"listen": ":443"}.
`,
	Common: []string{
		"admission", "config", "listen", "metrics", "public-url", "state", "tls-cert", "tls-key", "tls-self-signed",
		"trusted-proxies", "turn", "turn-public",
	},
}

// The bounds of -memory, in MiB. With less, the smallest pool could not hold what a few households have waiting.
const (
	minMemory = 64
	maxMemory = 1 << 20
)

// flags names every setting once, for the command line and for the -config file.
func (c *config) flags(command string) (set *flag.FlagSet, file *string) {
	set = flag.NewFlagSet(command, flag.ContinueOnError)
	file = set.String("config", "", "read settings from this JSON `file`")
	c.listenFlags(set)
	c.turnFlags(set)
	c.policyFlags(set)
	c.log.Register(set)
	return set, file
}

// listenFlags adds the flags for the relay's addresses and certificate.
func (c *config) listenFlags(set *flag.FlagSet) {
	set.StringVar(&c.listen, "listen", relay.DefaultListen,
		"`address` of signaling and the web page; port 0 takes a free one. Without TLS, loopback only")
	set.StringVar(&c.publicURL, "public-url", "",
		"the `URL` that devices use; scheme, host and port, without a path. Default: made from -listen")
	set.StringVar(&c.webTransport, "webtransport", "", "UDP `address` of signaling over WebTransport (HTTP/3); "+
		"viewers try it at the public URL's port. off: no WebTransport. Default: the -listen address, if the relay "+
		"serves TLS and that UDP port is free")
	set.StringVar(&c.tlsCert, "tls-cert", "", "certificate chain, a PEM `file`")
	set.StringVar(&c.tlsKey, "tls-key", "", "private key of -tls-cert, a PEM `file`")
	set.BoolVar(&c.tlsSelfSigned, "tls-self-signed", false,
		"make a certificate, for development; prints its fingerprint")
	set.StringVar(&c.metrics, "metrics", "", "second `address`, for /metrics, /healthz and /readyz; "+
		"-listen serves them too, but only on a loopback address")
	set.StringVar(&c.trustedProxies, "trusted-proxies", "",
		"`addresses` and networks of proxies in front of this relay; separated by commas; "+
			"the relay believes them about the clients they forward")
	set.StringVar(&c.proxyHeader, "proxy-header", string(relay.XForwardedFor),
		"how trusted proxies name their clients; `x-forwarded-for` or forwarded (RFC 7239) in each request, "+
			"or proxy-protocol at the beginning of each connection to -listen, -turn and -turn-tls")
}

// turnFlags adds the flags for TURN.
func (c *config) turnFlags(set *flag.FlagSet) {
	set.StringVar(&c.turn, "turn", relay.DefaultTURN, "`address` of TURN, UDP and TCP; port 0 takes free ones")
	set.StringVar(&c.turnPublic, "turn-public", "",
		"`host:port` at which clients reach TURN; default: the -turn address, or the public URL's host")
	set.StringVar(&c.turnTLS, "turn-tls", "", "`address` of TURN over TLS, for networks that block everything else; "+
		"off: none. Default: the -listen port, shared with HTTPS")
	set.StringVar(&c.turnXDP, "turn-xdp", "", "network `interface`, such as eth0, on which the kernel itself forwards "+
		"relayed packets between UDP clients; Linux only, needs root, or CAP_NET_ADMIN and CAP_BPF")
	cli.IntVar(set, &c.turnMbit, "turn-mbit", 0, 0, 1e7, "limit on relayed traffic, in `Mbit/s`; "+
		"a packet counts with 52 bytes of headers; what exceeds the limit is dropped and counted. 0: no limit")
	cli.IntVar(set, &c.turnAllocations, "turn-allocations", relay.DefaultAllocations, 1, turn.MaxAddresses,
		"limit on TURN `allocations` at one time; each takes about 7 kB of memory")

	set.StringVar(&c.turnSecret, "turn-secret", "", "`file` of 32 or more random bytes, the same for all your relays; "+
		"read again every hour; anyone who has it can use them all. Default: a secret of this process alone")
	set.StringVar(&c.turnAlso, "turn-also", "", "TURN `URLs` of another relay with the same -turn-secret; "+
		"separated by commas; sessions allocate on both relays and survive losing one")
	set.StringVar(&c.p2p, "p2p", "", "UDP `address` of a libp2p circuit relay, through which cameras that name it are "+
		"found while signaling is away; its multiaddress is printed at the start. Default: none")
	set.StringVar(&c.regions, "regions", "", "`file` with the operator's signed map of regions; the relay serves it "+
		"at /v1/regions; read again every hour, and on SIGHUP; to make one, see relay regions -h. Default: none")
	cli.DurationVar(set, &c.drain, "drain", 0, 0, 24*time.Hour,
		"`time` for which TURN keeps its clients after SIGTERM; meanwhile signaling and new clients "+
			"go elsewhere, and the -listen port is free; 0: not at all. Default: 10s with -regions, else 0")
	set.StringVar(&c.drainTo, "drain-to", "",
		"`IP:PORT`s of TURN servers to which new clients are redirected meanwhile; separated by commas")
}

// The values of -nats.
const (
	natsEmbedded = "embedded"
	natsOff      = "off"
)

// policyFlags adds the flags for what the relay keeps, and what its clients may do.
func (c *config) policyFlags(set *flag.FlagSet) {
	set.StringVar(&c.state, "state", "relay-state",
		"`folder` for what must survive a restart; the operator's key, the self-signed certificate, stored messages")
	set.StringVar(&c.nats, "nats", natsEmbedded, "where messages wait for a device that is away; embedded: in the "+
		"-state folder, kept by a NATS server in this process, so that they survive it; off: in memory; or the "+
		"`servers` of your NATS cluster, as tls://HOST:PORT, separated by commas, which all relays of a region share")
	set.BoolVar(&c.natsSync, "nats-sync", false, "write each message through to the disk before its sender is told "+
		"that it is stored; slower. Without it, a power cut may take the last of them")
	set.StringVar(&c.natsCreds, "nats-creds", "",
		"`file` with the credentials of this relay's NATS user. Default: none")
	set.StringVar(&c.natsCA, "nats-ca", "", "`file` with the certificates that the servers of -nats are checked "+
		"against. Default: the system's")

	set.StringVar(&c.admission, "admission", string(admitAll), "who may open mailboxes, everybody (`open`) or ticket; "+
		"open has a quota for each address; for tickets see relay ticket")
	cli.IntVar(set, &c.memory, "memory", 1024, minMemory, maxMemory,
		"limit on the memory of signaling clients, in `MiB`, half of which bounds stored messages, too; "+
			"TURN has a limit of its own, -turn-allocations")
	set.StringVar(&c.node, "node", "",
		"`name` of this relay in its metrics; tells your relays apart. Default: the public URL's host")
	set.BoolVar(&c.loopbackUnlimited, "loopback-unlimited", false, "for tests and demos: no limits by address for "+
		"clients on this machine. Never use it behind a proxy on this machine")
}
