// Package obs is what a program of ours says about itself: its log, its metrics and whether it is well.
//
//	log := obs.NewLogger(os.Stderr, obs.Text, slog.LevelInfo)
//	m := obs.NewMetrics()
//	m.Counter("peephole_signaling_posted_total", "messages posted", nil, posted)
//	mux.Handle("/metrics", m)
//
// It promises that a log line made through it names no secret by accident: attributes with a secret's name, raw bytes
// and the secret part of pairing links and camera URLs are taken out. That is the second line; the first is that packages log no
// secrets. Only this package imports Prometheus.
package obs
