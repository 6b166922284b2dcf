package server

import (
	"runtime"
	"time"

	"github.com/peephole-cam/peephole/netlimit"
)

// class holds what payers of one kind share. The kinds are source addresses and tickets. Neither can take from the
// other.
type class struct {
	connections *netlimit.Pool // bytes of memory, as in all pools
	mailboxes   *netlimit.Pool // including their reserves
	buffers     *netlimit.Pool // frames that wait to be written, or that have arrived in part
	brief       *netlimit.Pool // messages with a TTL of at most briefTTL
	lasting     *netlimit.Pool // all other messages
	pairings    *netlimit.Pool
	work        *netlimit.Rate // microseconds of a processor
	grants      *netlimit.Rate
	askers      *netlimit.Rate // requests for grants, by payer and by the network that asks
}

// briefTTL is the longest TTL of a message that belongs to a session under way. Such messages have a pool of their own,
// so that nobody can end sessions by storing messages for a day.
const briefTTL = 2 * time.Minute

// parts divides memory among the pools, in 32nds.
type parts struct{ connections, mailboxes, buffers, brief, lasting, pairings int64 }

var (
	// openParts are for addresses at a relay that admits everyone.
	openParts = parts{
		connections: 8,
		mailboxes:   11,
		buffers:     4,
		brief:       4,
		lasting:     3,
		pairings:    2,
	}
	// visitorParts are for addresses at a relay that needs tickets: viewers and pairings.
	visitorParts = parts{connections: 5, mailboxes: 2, buffers: 3, pairings: 2}
	// ticketParts are for tickets.
	ticketParts = parts{
		connections: 4,
		mailboxes:   8,
		buffers:     2,
		brief:       3,
		lasting:     3,
	}
)

const (
	defaultMemory = 1 << 30

	workWindow  = 10 * time.Second
	grantWindow = time.Hour
	grants      = 1 << 18 // in a grantWindow, for all addresses together

	rejectWindow = rejectBurst * rejectInterval
	rejects      = 1 << 20
)

// newClass returns a class whose pools divide memory. Its work is half of the processors' time.
func newClass(memory int64, p parts) *class {
	// An IPv4 address of a carrier may serve a thousand households.
	pool := func(part int64) *netlimit.Pool {
		return netlimit.NewPool(netlimit.Config{Size: memory / 32 * part, IPv4: netlimit.Share{Free: 0.5}})
	}
	processors := int64(runtime.GOMAXPROCS(0))
	return &class{
		connections: pool(p.connections),
		mailboxes:   pool(p.mailboxes),
		buffers:     pool(p.buffers),
		brief:       pool(p.brief),
		lasting:     pool(p.lasting),
		pairings:    pool(p.pairings),
		work:        netlimit.NewRate(netlimit.Config{Size: processors * workWindow.Microseconds() / 2}, workWindow),
		grants: netlimit.NewRate(netlimit.Config{
			Size: grants,
			IPv4: netlimit.Share{Free: 0.5},
			Host: netlimit.Share{Max: grantsPerHour},
		}, grantWindow),
		askers: netlimit.NewRate(netlimit.Config{
			Size:  grants * hostAskCost,
			Named: netlimit.Share{Max: askerPerHour, Free: 1},
		}, grantWindow),
	}
}

// unlimited returns a class without limits.
func unlimited() *class {
	const all = 1 << 50
	share := netlimit.Share{Free: all}
	cfg := netlimit.Config{
		Size:    all,
		IPv4:    share,
		Host:    share,
		Site:    share,
		Network: share,
		Named:   share,
	}

	pool := func() *netlimit.Pool { return netlimit.NewPool(cfg) }
	return &class{
		connections: pool(),
		mailboxes:   pool(),
		buffers:     pool(),
		brief:       pool(),
		lasting:     pool(),
		pairings:    pool(),
		work:        netlimit.NewRate(cfg, workWindow),
		grants:      netlimit.NewRate(cfg, grantWindow),
		askers:      netlimit.NewRate(cfg, grantWindow),
	}
}

// newRejects returns a limit on how often an address may reject deliveries.
func newRejects() *netlimit.Rate {
	most := netlimit.Share{Max: rejectBurst}
	return netlimit.NewRate(netlimit.Config{Size: rejects, IPv4: most, Host: most}, rejectWindow)
}
