// Package hangup turns SIGHUP into a request to reload files, instead of the end of the process. A terminal that is
// closed sends SIGHUP too, and still ends the command that runs in it.
package hangup

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/term"
)

// NotifyContext returns a context that ends with the first SIGINT or SIGTERM, or when the command's terminal is closed.
// The next SIGINT or SIGTERM ends the process. hangups receives a value for every other SIGHUP; several in quick
// succession may count as one. SIGHUP itself never ends the process, neither before nor after stop.
func NotifyContext() (ctx context.Context, hangups <-chan struct{}, stop func()) {
	hungUp := make(chan os.Signal, 1)
	signal.Notify(hungUp, syscall.SIGHUP)
	ctx, stop = signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)

	files := terminals()
	requests := make(chan struct{}, 1)
	go func() {
		for range hungUp {
			if len(files) > 0 && len(terminals()) == 0 {
				stop()
			}
			select {
			case requests <- struct{}{}:
			default:
			}
		}
	}()

	return ctx, requests, stop
}

// terminals returns the standard files that are terminals now. A closed one no longer is.
func terminals() (files []int) {
	for _, f := range []*os.File{os.Stdin, os.Stdout, os.Stderr} {
		if fd := int(f.Fd()); term.IsTerminal(fd) {
			files = append(files, fd)
		}
	}
	return files
}
