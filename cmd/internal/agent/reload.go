package agent

import (
	"context"
	"errors"

	"github.com/peephole-cam/peephole/signaling"
)

// readAccessFiles reads the files that give access to the relay: its certificate and the ticket. On an error nothing
// changes.
func (a *Agent) readAccessFiles() error {
	trust, err := signaling.TrustFile(a.flags.RelayCert)
	if err != nil {
		return err
	}
	var ticket []byte
	if a.flags.Ticket != "" {
		if ticket, err = signaling.ReadTicket(a.flags.Ticket); err != nil {
			return err
		}
	}

	a.tls, a.ticket = trust, ticket
	return nil
}

// followHangups reloads the files after each hangup until ctx ends.
func (a *Agent) followHangups(ctx context.Context, hangups <-chan struct{}, reloadInputs func() error) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangups:
		}

		if err := a.reload(reloadInputs); err != nil {
			a.Log.Error("not everything could be reloaded; the old settings stay in use", "err", err)
			continue
		}
		a.Log.Info("reloaded the input, the ticket and the relay's certificate")
	}
}

// reload reloads what can change while cameras run.
func (a *Agent) reload(reloadInputs func() error) error {
	var input error
	if reloadInputs != nil {
		input = reloadInputs()
	}
	if err := a.readAccessFiles(); err != nil {
		return errors.Join(input, err)
	}

	for _, device := range a.devices {
		device.SetCredentials(a.ticket, a.tls)
	}
	return input
}
