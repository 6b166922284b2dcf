// Package obs is how our programs report on themselves: their logs, metrics and health.
//
//	log := obs.NewLogger(os.Stderr, obs.Text, slog.LevelInfo)
//	m := obs.NewMetrics()
//	m.Counter("peephole_signaling_posted_total", "messages posted", nil, posted)
//	mux.Handle("/metrics", m)
//
// It promises that its log lines reveal no secret by accident: attributes named like a secret and raw bytes are
// removed, and package redact goes over the rest. That is the second line of defence; the first is that packages log no
// secrets. It also removes anything that could control the terminal on which a line is shown. Only this package imports
// Prometheus.
package obs
