package obs

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// checkTimeout bounds one look at all parts.
const checkTimeout = 2 * time.Second

// Check says what keeps a part of the program from serving; nil: nothing.
type Check struct {
	Part  string
	Serve func(context.Context) error
}

// Healthz answers 200 while the process is alive enough to answer.
func Healthz() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { write(w, http.StatusOK, "ok\n") })
}

// Readyz answers 200 when every part serves, else 503; either way with one line for each part.
func Readyz(checks ...Check) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), checkTimeout)
		defer cancel()
		status, text := http.StatusOK, new(strings.Builder)
		for _, c := range checks {
			if err := c.Serve(ctx); err != nil {
				status = http.StatusServiceUnavailable
				fmt.Fprintf(text, "%s: %v\n", c.Part, Redact(err.Error()))
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
