package viewer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/peephole-cam/peephole/bulk"
	"github.com/peephole-cam/peephole/session"
)

// Get says how to fetch what a camera offers. All of its functions may be nil.
type Get struct {
	RelayOnly  bool                     // show the camera and its network only the relay's address
	OnProgress func(done, size int64)   // bytes that are on disk and verified, and of the whole; called often
	OnPath     func(relayed bool)       // called for each connection; relayed: it leads through a relay
	OnRetry    func(err error)          // the connection broke; another will go on from what has arrived
	OnReject   func(rejected Rejection) // called with what arrived and did not open
}

const (
	// getAgain is how long Get waits if the last connection brought something. Otherwise the wait doubles each time, up
	// to getSeldom.
	getAgain  = time.Second
	getSeldom = 15 * time.Second
)

// Offered returns what a camera offers to fetch; name is the camera's name or ID. Errors as for Get.
func (v *Viewer) Offered(ctx context.Context, name string, g Get) (list []bulk.Info, err error) {
	err = v.bulk(ctx, name, g, func(ctx context.Context, conn session.BulkConn) (err error) {
		list, err = conn.List(ctx)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("ask %q what it offers: %w", name, err)
	}
	return list, nil
}

// Get fetches what a camera offers by that ID into a file; name is the camera's name or ID. Each block is verified
// before it is written. If a connection breaks, Get connects again and goes on from there, until ctx ends. It also goes
// on with a file that was left unfinished, as long as the camera still has the same bytes. If the very first
// attempt does not connect, Get does not try again.
//
// Errors wrap ErrNoCamera, ErrAmbiguous, ErrNoAnswer, ErrSilent, a *Refusal, any of bulk.Conn.Fetch's, or the disk's.
func (v *Viewer) Get(ctx context.Context, name, id string, file *bulk.File, g Get) (info bulk.Info, err error) {
	wait, connected := getAgain, false
	for {
		before := file.Done()
		err = v.bulk(ctx, name, g, func(ctx context.Context, conn session.BulkConn) (err error) {
			connected = true
			info, err = conn.Fetch(ctx, id, file, g.OnProgress)
			return err
		})
		if err == nil {
			return info, nil
		}
		if ctx.Err() != nil || !worthRetrying(err) || !connected {
			return info, err
		}

		call(g.OnRetry, err)
		if wait = min(2*wait, getSeldom); file.Done() > before {
			wait = getAgain
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
	}
}

// worthRetrying reports whether another connection may succeed after an error.
func worthRetrying(err error) bool {
	var refusal *Refusal
	if errors.As(err, &refusal) {
		return refusal.Code == "busy" // with sessions that broke
	}
	isSentinel := func(sentinel error) bool { return errors.Is(err, sentinel) }
	disk := errors.As(err, new(*fs.PathError)) || errors.As(err, new(*os.LinkError))
	return !disk && !slices.ContainsFunc(final, isSentinel)
}

// final are the errors after which another connection does not help.
var final = []error{
	ErrNoCamera, ErrAmbiguous,
	bulk.ErrNotFound, bulk.ErrChanged, bulk.ErrForged, bulk.ErrMalformed, bulk.ErrTooLarge, bulk.ErrCertificate,
	bulk.ErrDiskFull, bulk.ErrFailed, fs.ErrClosed,
}

// bulk runs one bulk session with a camera.
func (v *Viewer) bulk(
	ctx context.Context,
	name string,
	g Get,
	use func(context.Context, session.BulkConn) error,
) error {
	record, err := v.find(name)
	if err != nil {
		return err
	}
	link, err := v.connectCamera(ctx, record, g.RelayOnly)
	if err != nil {
		return err
	}
	defer link.stop()

	cfg := session.ViewerConfig{RelayOnly: g.RelayOnly, OnReject: g.OnReject}
	return v.offer(ctx, link, record, cfg, func(ctx context.Context, cfg session.ViewerConfig) error {
		return session.Bulk(ctx, cfg, func(ctx context.Context, conn session.BulkConn) error {
			cfg.OnPhase(session.PhaseConnected)
			call(g.OnPath, conn.Relayed())
			return use(ctx, conn)
		})
	})
}
