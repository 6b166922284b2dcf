// Package jetstream keeps the messages that wait in mailboxes on NATS JetStream. [Open] runs a NATS server inside the
// process, which listens on no port and keeps everything in one folder.
//
// All messages are in one stream. A mailbox is a subject of it:
//
//	mail.4f.T3JaYm9…          "mail", the first byte of the mailbox's name in hex, and the name in base64url
//
// A message expires by its Nats-TTL, without anybody's help. The stream refuses what is new when it is full, and never
// drops what it has acknowledged. A message is acknowledged once the kernel has it: it survives kill -9. A power cut
// may take what was written in the seconds before it (syncInterval), unless Config.SyncAlways is set; on a file system
// that does not write a file before it renames it, it may take more.
//
// Of a stream's sequence numbers the package believes only that one may name a message. It looks whose message that is
// before it deletes it, so that a stream that was restored or made anew loses nothing of other mailboxes. It never
// purges.
//
// It is not part of the SDK (doc/sdk.md): its API may change at any time.
package jetstream

import (
	"bytes"
	"cmp"
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

// Config is what a store needs.
type Config struct {
	Dir        string // is made if it does not exist
	MaxBytes   int64  // of all messages that wait; their files may take twice that for some seconds
	SyncAlways bool   // write every message through to the disk before it is acknowledged
	Logger     *slog.Logger
}

// Store is a mail.Store in a folder. Close it.
type Store struct {
	cfg    Config
	unlock func()
	free   freeSpace

	done    context.Context // ends with Close
	close   context.CancelFunc
	running sync.WaitGroup

	mu     sync.RWMutex
	node   *node     // guarded by mu; nil while JetStream does not run
	cause  error     // guarded by mu; why there is no node
	undone []deleted // guarded by mu; what could not be deleted
	warned time.Time // guarded by mu; when a refusal was logged
}

// deleted is a message that is to be deleted.
type deleted struct {
	name [32]byte
	id   uint64
}

// maxUndone bounds the deletions that are to be tried again. What exceeds it expires.
const maxUndone = 1 << 12

// ErrNoRoom is returned by Open if nothing can be written in the folder: its disk is full or read-only.
var ErrNoRoom = errors.New("nothing can be stored there")

// Open opens the store in a folder, which one process alone may use at a time. Open waits a few seconds for another
// that is about to end. On a disk that has become full, it opens what is there.
func Open(cfg Config) (*Store, error) {
	unlock, err := lock(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("open stored messages: %w", err)
	}
	s := &Store{cfg: cfg, unlock: unlock, free: freeSpace{dir: cfg.Dir}}
	s.done, s.close = context.WithCancel(context.Background())

	if s.node, err = startNode(s.done, cfg); err != nil {
		if !s.free.enough() {
			err = fmt.Errorf("%w: %w: %w", ErrNoRoom, errLittleRoom, err)
		}
		s.close()
		s.unlock()
		return nil, fmt.Errorf("open stored messages in %s: %w", cfg.Dir, err)
	}
	s.running.Go(s.keep)
	return s, nil
}

// Close ends the store. What was acknowledged stays on disk.
func (s *Store) Close() error {
	s.close()
	s.running.Wait()

	s.mu.Lock()
	n := s.node
	s.node = nil
	s.mu.Unlock()

	if n != nil {
		n.stop()
	}
	s.unlock()
	return nil
}

// keep restarts JetStream when it can write no more, as after its disk was full, and tells the operator about it.
func (s *Store) keep() {
	ticker := time.NewTicker(keepInterval)
	defer ticker.Stop()
	refusing := false
	for {
		err := s.Check()
		switch {
		case err != nil && !refusing:
			s.cfg.Logger.Error("no message can be stored", "err", err)
		case err == nil && refusing:
			s.cfg.Logger.Info("messages are stored again")
		}
		if refusing = err != nil; !refusing {
			s.retryDeletions()
		}

		select {
		case <-s.done.Done():
			return
		case <-ticker.C:
			s.restart()
		}
	}
}

// restart starts JetStream anew if it does not run, or cannot write, and the disk has space. Meanwhile there is none.
func (s *Store) restart() {
	s.mu.Lock()
	old := s.node
	if old != nil && old.healthy() || !s.free.enough() {
		s.mu.Unlock()
		return
	}
	s.node, s.cause = nil, errRestarting
	s.mu.Unlock()

	if old != nil {
		old.stop()
	}
	started, err := startNode(s.done, s.cfg)

	s.mu.Lock()
	defer s.mu.Unlock()
	s.node, s.cause = started, err
}

// errRestarting is why there is no node while one starts.
var errRestarting = errors.New("it is being restarted")

// Check returns nil while messages can be stored, and otherwise says what is wrong.
func (s *Store) Check() error {
	_, err := s.writable()
	return err
}

// current returns the node. The caller must not keep it.
func (s *Store) current() (*node, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.node == nil {
		return nil, fmt.Errorf("%w: start JetStream in %s: %w", mail.ErrUnavailable, s.cfg.Dir,
			cmp.Or(s.cause, net.ErrClosed))
	}
	return s.node, nil
}

// writable returns the node if the disk has space.
func (s *Store) writable() (*node, error) {
	if !s.free.enough() {
		return nil, fmt.Errorf("%w: %w in %s", mail.ErrUnavailable, errLittleRoom, s.cfg.Dir)
	}
	return s.current()
}

// Put implements mail.Store.
func (s *Store) Put(name [32]byte, m mail.Message) (id uint64, err error) {
	n, err := s.writable()
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
	s.cfg.Logger.Warn("a message was not stored", "err", err)
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
	n, err := s.current()
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
	n, err := s.current()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(s.done, opTimeout)
	defer cancel()

	got, err := n.stream.GetMsg(ctx, id)
	if err == nil && got.Subject == subject(name) {
		err = n.stream.DeleteMsg(ctx, id)
	}
	if errors.Is(err, jetstream.ErrMsgDeleteUnsuccessful) { // it has expired meanwhile, or could not be deleted
		if _, looked := n.stream.GetMsg(ctx, id); errors.Is(looked, jetstream.ErrMsgNotFound) {
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
	s.mu.RLock()
	defer s.mu.RUnlock()
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
	n, err := s.current()
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
