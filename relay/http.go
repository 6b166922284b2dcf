package relay

import (
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/peephole-cam/peephole/relayurl"
	"github.com/peephole-cam/peephole/signaling"
	"github.com/peephole-cam/peephole/signaling/region"
)

// handler returns the handler of the main listener.
func (r *Relay) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET "+signaling.Path, r.signaling)
	mux.Handle("GET "+signaling.ServersPath, r.servers())
	mux.HandleFunc("GET "+region.Path, r.serveRegions)
	mux.Handle("GET /", r.pages)
	if host, _, err := net.SplitHostPort(r.cfg.Listen); err == nil && relayurl.IsLoopbackHost(host) {
		r.observe(mux)
	}

	return withHeaders(mux, r.cfg.hasTrustedTLS(r.url))
}

func (r *Relay) metricsHandler() http.Handler {
	mux := http.NewServeMux()
	r.observe(mux)
	return withHeaders(mux, false)
}

func (r *Relay) observe(mux *http.ServeMux) {
	if r.cfg.Observe != nil {
		r.cfg.Observe(r, mux)
	}
}

// servers tells anybody this relay's ICE servers, without credentials. The commands' doctors ask for them.
func (r *Relay) servers() http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		if err := json.NewEncoder(w).Encode(signaling.Servers{URLs: r.turn.urls}); err != nil {
			r.log.Debug("tell servers", "err", err)
		}
	}
}

// serveHTTP serves the connections of a door. It does not offer HTTP/2, so each request takes a connection, and the
// limits for connections bound requests too.
func (r *Relay) serveHTTP(ctx context.Context, d *door, h http.Handler) error {
	s := &http.Server{
		Handler:           d.welcome(h),
		ConnContext:       withGuest,
		MaxHeaderBytes:    16 << 10,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       15 * time.Second,
		// at debug level, because what strangers send is not our error
		ErrorLog: slog.NewLogLogger(r.log.Handler(), slog.LevelDebug),
	}

	served := make(chan error, 1)
	go func() { served <- s.Serve(d.http) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}

	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	if err := s.Shutdown(stopping); err != nil {
		r.log.Debug("stop http", "err", err)
		if err := s.Close(); err != nil {
			r.log.Debug("close http", "err", err)
		}
	}

	<-served
	return nil
}
