// Package jetstream keeps the messages that wait in mailboxes on NATS JetStream. [Open] runs a NATS server inside the
// process, which listens on no port and keeps everything in one folder.
//
// All messages are in one stream. A mailbox is a subject of it:
//
//	mail.4f.T3JaYm9…          "mail", the first byte of the mailbox's name in hex, and the name in base64url
//
// A message expires by its Nats-TTL, without anybody's help. The stream refuses what is new when it is full, and never
// drops what it has acknowledged. A message is acknowledged once the kernel has it: it survives kill -9. What a power
// cut may take is the last seconds before it (syncInterval), or nothing with Config.SyncAlways.
//
// Of a stream's sequence numbers the package believes only that one may name a message. It looks whose message that is
// before it deletes it, so that a stream that was restored or made anew loses nothing of other mailboxes. It never
// purges.
//
// It is not part of the SDK (doc/sdk.md): its API may change at any time.
package jetstream

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
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
)

// Config is what a store needs.
type Config struct {
	Dir        string // is made if it does not exist
	MaxBytes   int64  // of all messages on disk, with about 150 bytes for each
	SyncAlways bool   // write every message through to the disk before it is acknowledged
	Logger     *slog.Logger
}

// Store is a mail.Store in a folder. Close it.
type Store struct {
	cfg    Config
	unlock func()
	free   freeSpace

	done   context.Context // ends with Close
	close  context.CancelFunc
	keeper sync.WaitGroup

	mu    sync.RWMutex
	node  *node // guarded by mu; nil while JetStream does not run
	cause error // guarded by mu; why it could not be started
}

// ErrNoRoom is returned by Open if nothing can be written in the folder: its disk is full or read-only.
var ErrNoRoom = errors.New("nothing can be stored there")

// Open opens the store in a folder, which one process alone may use at a time. Open waits a few seconds for another
// that is about to end.
func Open(cfg Config) (*Store, error) {
	s := &Store{cfg: cfg, free: freeSpace{dir: filepath.Dir(cfg.Dir)}}
	if !s.free.enough() {
		return nil, fmt.Errorf("open stored messages in %s: %w: %w", cfg.Dir, ErrNoRoom, errLittleRoom)
	}
	var err error
	if s.unlock, err = lock(cfg.Dir); err != nil {
		return nil, fmt.Errorf("open stored messages: %w", err)
	}
	if s.node, err = startNode(cfg); err != nil {
		s.unlock()
		return nil, fmt.Errorf("open stored messages in %s: %w", cfg.Dir, err)
	}

	s.done, s.close = context.WithCancel(context.Background())
	s.keeper.Go(s.keep)
	return s, nil
}

// Close ends the store. What was acknowledged stays on disk.
func (s *Store) Close() error {
	s.close()
	s.keeper.Wait()

	s.mu.Lock()
	defer s.mu.Unlock()
	if s.node != nil {
		s.node.stop()
		s.node = nil
	}
	s.unlock()
	return nil
}

// keep restarts JetStream after it has given up, as it does on a full disk, and tells the operator about the disk.
func (s *Store) keep() {
	ticker := time.NewTicker(keepInterval)
	defer ticker.Stop()
	refusing := false
	for {
		if now := s.Check() != nil; now != refusing {
			refusing = now
			s.logChange(refusing)
		}

		select {
		case <-s.done.Done():
			return
		case <-ticker.C:
			s.restart()
		}
	}
}

func (s *Store) logChange(refusing bool) {
	if !refusing {
		s.cfg.Logger.Info("messages are stored again")
		return
	}
	s.cfg.Logger.Error("no message can be stored, so clients are sent elsewhere until one can", "err", s.Check())
}

// restart starts JetStream anew if it does not run and the disk has space.
func (s *Store) restart() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.node != nil && s.node.running() || !s.free.enough() {
		return
	}

	if s.node != nil {
		s.node.stop()
	}
	s.node, s.cause = startNode(s.cfg)
}

// Check returns nil while messages can be stored, and otherwise says what is wrong.
func (s *Store) Check() error {
	_, err := s.writable()
	return err
}

// running returns the node. The caller must not keep it.
func (s *Store) running() (*node, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	switch {
	case s.node != nil && s.node.running():
		return s.node, nil
	case s.cause != nil:
		return nil, fmt.Errorf("%w: start JetStream in %s: %w", mail.ErrUnavailable, s.cfg.Dir, s.cause)
	}
	return nil, fmt.Errorf("%w: JetStream has ended in %s", mail.ErrUnavailable, s.cfg.Dir)
}

// writable returns the node if the disk has space.
func (s *Store) writable() (*node, error) {
	if !s.free.enough() {
		return nil, fmt.Errorf("%w: %w in %s", mail.ErrUnavailable, errLittleRoom, s.cfg.Dir)
	}
	return s.running()
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

	ctx, cancel := context.WithTimeout(s.done, opTimeout)
	defer cancel()
	ack, err := n.js.PublishMsg(ctx, put)
	if err != nil {
		return 0, putError(err)
	}
	return ack.Sequence, nil
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
	n, err := s.running()
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
		Body:    got.Data,
		Expires: time.UnixMilli(expires),
		Own:     got.Header.Get(headerOwn) == "1",
	}
}

// Delete implements mail.Store.
func (s *Store) Delete(name [32]byte, id uint64) error {
	n, err := s.running()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(s.done, opTimeout)
	defer cancel()

	got, err := n.stream.GetMsg(ctx, id)
	if err == nil && got.Subject == subject(name) {
		err = n.stream.DeleteMsg(ctx, id)
	}
	if err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) && !errors.Is(err, jetstream.ErrMsgDeleteUnsuccessful) {
		return fmt.Errorf("%w: %w", mail.ErrUnavailable, err)
	}
	return nil
}

// Stats are the present values of a store.
type Stats struct {
	Messages, Bytes uint64 // on disk
}

// Stats returns the present values, which are zero while JetStream does not run.
func (s *Store) Stats() (now Stats) {
	n, err := s.running()
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
