package obs

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/peephole-cam/peephole/redact"
)

// checkTimeout bounds all checks of one request together.
const checkTimeout = 2 * time.Second

// Check checks one part of the program. Serve returns what keeps the part from serving, or nil.
type Check struct {
	Part  string
	Serve func(context.Context) error
}

// Healthz answers 200 as long as the process can answer at all.
func Healthz() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { write(w, http.StatusOK, "ok\n") })
}

// Readyz answers 200 if every part serves, and 503 otherwise, with one line for each part.
func Readyz(checks ...Check) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), checkTimeout)
		defer cancel()
		status, text := http.StatusOK, new(strings.Builder)
		for _, c := range checks {
			if err := c.Serve(ctx); err != nil {
				status = http.StatusServiceUnavailable
				fmt.Fprintf(text, "%s: %v\n", c.Part, redact.Text(err.Error()))
				continue
			}
			fmt.Fprintf(text, "%s: ok\n", c.Part)
		}
		write(w, status, text.String())
	})
}

func write(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text)) // the client may have gone
}
