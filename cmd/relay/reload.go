package main

import (
	"context"
	"log/slog"

	"github.com/peephole-cam/peephole/relay"
)

// followHangups reloads the relay's files after each hangup until ctx ends.
func followHangups(ctx context.Context, r *relay.Relay, hangups <-chan struct{}, log *slog.Logger) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangups:
		}

		if err := r.Reload(); err != nil {
			log.Error("not everything could be reloaded; the old settings stay in use", "err", err)
			continue
		}
		log.Info("reloaded the files that SIGHUP reloads")
	}
}
