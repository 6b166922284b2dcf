package relay

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/peephole-cam/peephole/signaling/mail/jetstream"
)

// defaultMemory is Config.Memory if that is 0.
const defaultMemory = 1 << 30

// ErrMail is returned by New if it cannot use the folder of stored messages.
var ErrMail = errors.New("no messages can be stored")

// openMail opens the folder of stored messages, if the Config names one. A relay that can store nothing there still
// serves, since most messages are for a device that is there.
func (r *Relay) openMail() error {
	c := &r.cfg
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

// runSignaling serves signaling until ctx ends. Then it closes the folder of stored messages, which the next process
// may want while TURN still drains.
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
