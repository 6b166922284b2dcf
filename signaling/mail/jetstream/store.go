// Package jetstream keeps the messages that wait in mailboxes on NATS JetStream. [Open] runs a NATS server inside the
// process, which listens on no port and keeps everything in one folder. [Join] uses the NATS servers of a region.
//
// All messages are in one stream. A mailbox is a subject of it:
//
//	mail.4f.T3JaYm9…          "mail", the first byte of the mailbox's name in hex, and the name in base64url
//
// A message expires by its Nats-TTL, without anybody's help. The stream refuses what is new when it is full, and never
// drops what it has acknowledged. In a folder, a message is acknowledged once the kernel has it: it survives kill -9. A
// power cut may take what was written in the seconds before it (syncInterval), unless Config.SyncAlways is set; on a
// file system that does not write a file before it renames it, it may take more. On a cluster of servers, a message is
// acknowledged once two of three servers have it.
//
// Of a stream's sequence numbers the package believes only that one may name a message. It looks whose message that is
// before it deletes it, so that a stream that was restored or made anew loses nothing of other mailboxes. It never
// purges.
//
// It is not part of the SDK (doc/sdk.md): its API may change at any time.
package jetstream

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/peephole-cam/peephole/signaling/mail"
)

const (
	streamName = "peephole-mail"

	// Headers of a stored message.
	headerTTL     = "Nats-TTL"         // JetStream's own
	headerExpires = "Peephole-Expires" // Unix milliseconds
	headerOwn     = "Peephole-Own"     // "1" if the payer posted it

	// opTimeout bounds every request. Inside a process, only a disk that hangs makes one take long.
	opTimeout = 3 * time.Second

	syncInterval = 10 * time.Second
	keepInterval = time.Second
	warnInterval = 10 * time.Second
)

// Store is a mail.Store. Close it.
type Store struct {
	place place
	log   *slog.Logger

	done    context.Context // ends with Close
	close   context.CancelFunc
	running sync.WaitGroup

	mu     sync.Mutex
	undone []deleted // guarded by mu; what could not be deleted
	warned time.Time // guarded by mu; when a refusal was logged
}

// place is where messages are kept. Its errors wrap mail.ErrUnavailable.
type place interface {
	// current returns the node to read from. The caller must not keep it.
	current() (*node, error)
	// writable returns the node if something can be stored there now.
	writable() (*node, error)
	// tend is called each second, and mends what can be mended.
	tend(done context.Context)
	// stop ends the node.
	stop()
}

// deleted is a message that is to be deleted.
type deleted struct {
	name [32]byte
	id   uint64
}

// maxUndone bounds the deletions that are to be tried again. What exceeds it expires.
const maxUndone = 1 << 12

// newStore returns a store whose done context has begun. The caller must set its place, and call run.
func newStore(log *slog.Logger) *Store {
	s := &Store{log: log}
	s.done, s.close = context.WithCancel(context.Background())
	return s
}

func (s *Store) run(at place) *Store {
	s.place = at
	s.running.Go(s.keep)
	return s
}

// Close ends the store. What was acknowledged stays.
func (s *Store) Close() error {
	s.close()
	s.running.Wait()
	s.place.stop()
	return nil
}

// keep tends to the store's place, and tells the operator when nothing can be stored there.
func (s *Store) keep() {
	ticker := time.NewTicker(keepInterval)
	defer ticker.Stop()
	refusing := false
	for {
		err := s.Check()
		switch {
		case err != nil && !refusing:
			s.log.Error("no message can be stored", "err", err)
		case err == nil && refusing:
			s.log.Info("messages are stored again")
		}
		if refusing = err != nil; !refusing {
			s.retryDeletions()
		}

		select {
		case <-s.done.Done():
			return
		case <-ticker.C:
			s.place.tend(s.done)
		}
	}
}

// Check returns nil while messages can be stored, and otherwise says what is wrong.
func (s *Store) Check() error {
	_, err := s.place.writable()
	return err
}

// Put implements mail.Store.
func (s *Store) Put(name [32]byte, m mail.Message) (id uint64, err error) {
	n, err := s.place.writable()
	if err != nil {
		return 0, err
	}

	put := nats.NewMsg(subject(name))
	put.Data = m.Body
	put.Header.Set(headerTTL, strconv.FormatInt(ttlSeconds(time.Until(m.Expires)), 10))
	put.Header.Set(headerExpires, strconv.FormatInt(m.Expires.UnixMilli(), 10))
	if m.Own {
		put.Header.Set(headerOwn, "1")
	}

	posted, err := n.js.PublishMsgAsync(put)
	if err == nil {
		id, err = s.await(name, posted)
	}
	if err != nil {
		err = putError(err)
		s.warn(err)
	}
	return id, err
}

// await returns the ID of a message that is being stored. If that takes too long, the message is deleted once its ID is
// known.
func (s *Store) await(name [32]byte, posted jetstream.PubAckFuture) (id uint64, err error) {
	late := time.NewTimer(opTimeout)
	defer late.Stop()
	select {
	case ack := <-posted.Ok():
		return ack.Sequence, nil
	case err := <-posted.Err():
		return 0, err
	case <-s.done.Done():
		return 0, net.ErrClosed
	case <-late.C:
	}

	s.running.Go(func() {
		select {
		case ack := <-posted.Ok():
			s.deleteLater(name, ack.Sequence)
		case <-posted.Err(): // it was refused, or nobody knows any more
		case <-s.done.Done():
		}
	})
	return 0, errLate
}

// errLate is returned for a message that took longer than opTimeout.
var errLate = errors.New("the disk is too slow")

// warn logs why a message was refused, from time to time.
func (s *Store) warn(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if errors.Is(err, mail.ErrMailboxFull) || time.Since(s.warned) < warnInterval {
		return
	}
	s.warned = time.Now()
	s.log.Warn("a message was not stored", "err", err)
}

// ttlSeconds returns a Nats-TTL, which is at least a second.
func ttlSeconds(ttl time.Duration) int64 { return max(1, int64((ttl+time.Second-1)/time.Second)) }

// errPerSubject is what JetStream says when a subject has its maximum of messages. The error has no code of its own.
const errPerSubject = "maximum messages per subject exceeded"

func putError(err error) error {
	refused := new(jetstream.APIError)
	if errors.As(err, &refused) && refused.Description == errPerSubject {
		return mail.ErrMailboxFull
	}
	return fmt.Errorf("%w: %w", mail.ErrUnavailable, err)
}

// Waiting implements mail.Store.
func (s *Store) Waiting(name [32]byte) (waiting []mail.Message, err error) {
	n, err := s.place.current()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(s.done, opTimeout)
	defer cancel()

	subject := subject(name)
	for next := uint64(1); len(waiting) < mail.MaxPerMailbox; {
		got, err := n.stream.GetMsg(ctx, next, jetstream.WithGetMsgSubject(subject))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %w", mail.ErrUnavailable, err)
		}
		waiting = append(waiting, parse(got))
		next = got.Sequence + 1
	}
	return waiting, nil
}

// parse returns a message that Put has stored. A header that does not parse makes it expire at once.
func parse(got *jetstream.RawStreamMsg) mail.Message {
	expires, err := strconv.ParseInt(got.Header.Get(headerExpires), 10, 64)
	if err != nil {
		expires = 0
	}
	return mail.Message{
		ID:      got.Sequence,
		Body:    bytes.Clone(got.Data), // without the headers, which share its memory
		Expires: time.UnixMilli(expires),
		Own:     got.Header.Get(headerOwn) == "1",
	}
}

// Delete implements mail.Store. It tries again later what fails now, and does not wait while others do.
func (s *Store) Delete(name [32]byte, id uint64) error {
	err := s.failing()
	if err == nil {
		err = s.delete(name, id)
	}
	if err != nil {
		s.deleteLater(name, id)
	}
	return err
}

func (s *Store) delete(name [32]byte, id uint64) error {
	n, err := s.place.current()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(s.done, opTimeout)
	defer cancel()

	of, err := n.subjectOf(ctx, id)
	if err == nil && of == subject(name) {
		err = n.stream.DeleteMsg(ctx, id)
	}
	if errors.Is(err, jetstream.ErrMsgDeleteUnsuccessful) { // it has expired meanwhile, or could not be deleted
		if _, looked := n.subjectOf(ctx, id); errors.Is(looked, jetstream.ErrMsgNotFound) {
			err = looked
		}
	}
	if err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
		return fmt.Errorf("%w: %w", mail.ErrUnavailable, err)
	}
	return nil
}

// failing returns an error while there is something that could not be deleted.
func (s *Store) failing() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.undone) > 0 {
		return fmt.Errorf("%w: %d messages could not be deleted yet", mail.ErrUnavailable, len(s.undone))
	}
	return nil
}

// deleteLater deletes a message with the next look at the store.
func (s *Store) deleteLater(name [32]byte, id uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.undone) < maxUndone {
		s.undone = append(s.undone, deleted{name, id})
	}
}

// retryDeletions deletes what could not be deleted before, up to the first that still cannot.
func (s *Store) retryDeletions() {
	s.mu.Lock()
	undone := s.undone
	s.undone = nil
	s.mu.Unlock()

	for len(undone) > 0 && s.delete(undone[0].name, undone[0].id) == nil {
		undone = undone[1:]
	}
	for _, d := range undone {
		s.deleteLater(d.name, d.id)
	}
}

// Stats are the present values of a store.
type Stats struct {
	Messages, Bytes uint64 // on disk
}

// Stats returns the present values, which are zero while JetStream does not run.
func (s *Store) Stats() (now Stats) {
	n, err := s.place.current()
	if err != nil {
		return Stats{}
	}
	ctx, cancel := context.WithTimeout(s.done, opTimeout)
	defer cancel()

	info, err := n.stream.Info(ctx)
	if err != nil {
		return Stats{}
	}
	return Stats{Messages: info.State.Msgs, Bytes: info.State.Bytes}
}

func subject(name [32]byte) string {
	return "mail." + hex.EncodeToString(name[:1]) + "." + base64.RawURLEncoding.EncodeToString(name[:])
}
