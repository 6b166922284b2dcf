package relay

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/peephole-cam/peephole/signaling/cluster"
	"github.com/peephole-cam/peephole/signaling/mail/jetstream"
)

// defaultMemory is Config.Memory if that is 0.
const defaultMemory = 1 << 30

// Errors of New about stored messages.
var (
	// ErrMail means that it cannot use the folder.
	ErrMail = errors.New("no messages can be stored")
	// ErrNATS means that it cannot use the NATS servers.
	ErrNATS = errors.New("the region's NATS servers cannot be used")
)

// openMail opens what the Config says for stored messages, if anything. A relay that can store nothing in its folder
// still serves, since most messages are for a device that is there.
func (r *Relay) openMail() error {
	c := &r.cfg
	if len(c.NATS) > 0 {
		return r.joinRegion()
	}
	if c.Mail == "" {
		return nil
	}

	opened, err := jetstream.Open(jetstream.Config{
		Dir:        c.Mail,
		MaxBytes:   cmp.Or(c.Memory, defaultMemory) / 2, // more than clients may pay for
		SyncAlways: c.MailSync,
		Logger:     r.log.With("part", "mail"),
	})
	if errors.Is(err, jetstream.ErrNoRoom) {
		r.log.Warn("messages that wait for a device are kept in memory, and a restart loses them", "err", err)
		return nil
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrMail, err)
	}
	r.mail = opened
	return nil
}

// joinRegion opens the stored messages of the region's NATS servers.
func (r *Relay) joinRegion() (err error) {
	c := &r.cfg
	servers := cluster.Servers{URLs: c.NATS, Credentials: c.NATSCredentials, CA: c.NATSCA}
	if r.mail, err = jetstream.Join(servers, r.log.With("part", "mail")); err != nil {
		return fmt.Errorf("%w: %w", ErrNATS, err)
	}
	return nil
}

// runSignaling serves signaling until ctx ends. Then it closes the stored messages, whose folder the next process may
// want while TURN still drains.
func (r *Relay) runSignaling(ctx context.Context) error {
	err := r.signaling.Run(ctx)
	if r.mail != nil {
		err = errors.Join(err, r.mail.Close())
	}
	return err
}

// MailStats returns what is stored on disk now. ok is false if messages are kept in memory.
func (r *Relay) MailStats() (s jetstream.Stats, ok bool) {
	if r.mail == nil {
		return s, false
	}
	return r.mail.Stats(), true
}

// CheckMail returns nil while messages can be stored, or if they are kept in memory, and otherwise what is wrong.
func (r *Relay) CheckMail(context.Context) error {
	if r.mail == nil {
		return nil
	}
	return r.mail.Check()
}
