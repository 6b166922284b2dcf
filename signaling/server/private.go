package server

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"log/slog"
	"math"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/peephole-cam/peephole/netlimit"
	"github.com/peephole-cam/peephole/signaling"
)

const (
	// maxProofs bounds the frames with which a client from outside may try to prove itself. A viewer whose clock is
	// wrong may try the mailboxes of three days.
	maxProofs = 3
	// proofFrame is the largest frame of a client that has proven nothing, in bytes. An open without a ticket has 136.
	proofFrame = 256
	// mailboxesOutside bounds the mailboxes that a connection from outside has open.
	mailboxesOutside = 64
	// connsPerMailbox bounds the connections from outside that have one mailbox open. One more ends the oldest, which
	// may belong to a device that has left the network without a word.
	connsPerMailbox = 4

	privateMemory = 4 << 20
	maxHeader     = 2 << 10 // bytes of an HTTP request's header
)

// errNothing is the one refusal for a client from outside, whatever the reason, so that a stranger learns nothing.
var errNothing = &signaling.Error{Code: signaling.CodeNotAdmitted, Text: "there is no such mailbox here"}

var (
	// privateParts are for clients from outside: viewers and strangers. The camera pays for the messages, and places
	// bounds the connections.
	privateParts = parts{mailboxes: 8, buffers: 8}
	// ownerParts are for the camera. It opens its mailboxes itself, so there is no limit on those.
	ownerParts = parts{buffers: 6, brief: 6, lasting: 4}
)

// setUpPrivate prepares a private server. It forgets the ticket's key at once, so there is no other ticket.
func (s *Server) setUpPrivate() error {
	if s.cfg.PublicURL != "" || s.cfg.TicketKey != nil || s.cfg.Granter != nil || s.cfg.Place != nil {
		return errors.New("a private server has no public URL, ticket key, granter or place")
	}

	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	limits := signaling.Ticket{NotAfter: time.Unix(math.MaxUint32, 0), Mailboxes: mailboxesPerConn}
	rand.Read(limits.ID[:])
	s.cfg.TicketKey, s.ticket = public, limits.Issue(private)
	s.places, s.inProcess = newPlaces(s.wakeSweeper), newInProcess(s.stop.Done())
	return nil
}

// privateClass returns a class of a private server. What parts leaves out has no limit here.
func privateClass(memory int64, p parts) *class {
	pool := func(part int64) *netlimit.Pool {
		share := netlimit.Share{Free: 1} // two fifths for the first payer, and most of what is left for the others
		return netlimit.NewPool(netlimit.Config{
			Size:    memory / 32 * part,
			IPv4:    share,
			Host:    share,
			Site:    share,
			Network: share,
			Named:   netlimit.Share{Free: 1 << 20}, // there is one
		})
	}

	c := unlimited()
	if p.mailboxes > 0 {
		c.mailboxes = pool(p.mailboxes)
		c.work = newClass(memory, p).work
	}
	c.buffers, c.brief, c.lasting, c.pairings = pool(p.buffers), pool(p.brief), pool(p.lasting), pool(p.pairings)
	return c
}

// Ticket returns the ticket that admits mailboxes to a private server. Only the camera's own client may have it.
func (s *Server) Ticket() []byte { return s.ticket }

// Serve accepts connections from outside at a private server until l is closed or Run ends, and closes l. What l
// accepts must have a method Origin() string, which returns what the client on that connection signs: a name of both
// ends. Others are closed. If it also has a method Proven(), Serve calls that once the client has proven itself. From
// then on, the listener must not drop the connection.
func (s *Server) Serve(l net.Listener) error {
	if !s.cfg.Private {
		return errors.New("serve signaling: the server is not private")
	}
	return s.serve(&outside{l, s.places})
}

// serve serves connections, which are places or inProcessConns, until Run ends.
func (s *Server) serve(l net.Listener) error {
	hs := &http.Server{
		Handler:        withoutDate{s},
		MaxHeaderBytes: maxHeader,
		ErrorLog:       slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug),
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, conn)
		},
	}
	defer context.AfterFunc(s.stop, func() { _ = hs.Close() })()

	err := hs.Serve(l)
	if s.stop.Err() != nil {
		return nil
	}
	return err
}

// connKey is the key of a request's connection in its context.
type connKey struct{}

// withoutDate keeps the time of a camera's clock to itself: by its error, a stranger could tell one camera from
// another.
type withoutDate struct{ *Server }

func (h withoutDate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header()["Date"] = nil
	if r.URL.Path != signaling.Path {
		w.Header().Set("Connection", "close") // nobody has paid for more requests
		http.NotFound(w, r)
		return
	}
	h.Server.ServeHTTP(w, r)
}

// standing is what a connection from outside at a private server rests on: the admitted mailboxes that it has open.
// Once it has proven itself, it ends with the last of them, so that a viewer that is removed is gone at once.
type standing struct {
	mailboxes atomic.Int32
	end       func() // ends the connection; does not block
}

func (s *standing) add() { s.mailboxes.Add(1) }

func (s *standing) remove() {
	if s.mailboxes.Add(-1) == 0 {
		s.end()
	}
}

// outsider is what the server keeps of a connection from outside. The connection's reading goroutine owns all but
// standing.
type outsider struct {
	standing standing
	place    *place
	proven   bool
	tries    int
}

// comeFromOutside makes the connection that of a client from outside.
func (c *conn) comeFromOutside(from *place) {
	c.outsider = &outsider{place: from, standing: standing{end: func() { c.cancel() }}}
	c.rate = rate.NewLimiter(framesPerSecond, 2*mailboxesOutside)
	c.frames.SetReadLimit(proofFrame)
}

// prove handles a frame of a client from outside that has proven nothing: if the frame opens an admitted mailbox for
// writing, the client holds the key of one of the camera's viewers. Nothing else is done for it before.
func (c *conn) prove(ctx context.Context, f signaling.Frame, now time.Time) {
	open, ok := f.(signaling.Open)
	if ok && open.Access == signaling.Write {
		if c.openMailbox(ctx, signaling.NameOf(open.ReadKey, open.WriteKey), open, now) == nil {
			c.outsider.proven = true
			c.outsider.place.prove()
			c.frames.SetReadLimit(signaling.MaxFrame)
			c.reply(open.ID, nil)
			return
		}
	}

	c.outsider.tries++
	c.reply(requestID(f), errNothing)
}

// inProcess reports whether the client is in this process, so that no ping is needed to know that it is there.
func (c *conn) inProcess() bool { return c.server.cfg.Private && c.outsider == nil }

// unproven reports whether the client is from outside and has proven nothing.
func (c *conn) unproven() bool { return c.outsider != nil && !c.outsider.proven }

// requestID returns the id by which a refusal names its request, or 0 for a frame that has no answer.
func requestID(f signaling.Frame) uint32 {
	switch f := f.(type) {
	case signaling.Open:
		return f.ID
	case signaling.Post:
		return f.ID
	case signaling.GrantRequest:
		return f.ID
	case signaling.Revoke:
		return f.ID
	}
	return 0
}

// refusalFor returns what a client learns of a refusal. A proven client from outside also learns that something was too
// large or too much.
func (c *conn) refusalFor(err *signaling.Error) *signaling.Error {
	quota := err.Code == signaling.CodeQuota || err.Code == signaling.CodeTooLarge
	if c.outsider == nil || c.outsider.proven && quota {
		return err
	}
	return errNothing
}

// maxMailboxes returns how many mailboxes the connection may have open.
func (c *conn) maxMailboxes() int {
	if c.outsider != nil {
		return mailboxesOutside
	}
	return mailboxesPerConn
}

// timeForClients returns the server's time in Unix milliseconds. A private server says 0 and keeps its time to itself.
func (s *Server) timeForClients() uint64 {
	if s.cfg.Private {
		return 0
	}
	return uint64(s.cfg.Now().UnixMilli())
}
