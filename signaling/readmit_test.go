package signaling

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/coder/websocket"
)

// A certificate that is not trusted becomes trusted as soon as Trust is called.
func TestTrustTakesEffectWithoutARestart(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{Subprotocol}})
		if err != nil {
			return
		}
		defer ws.CloseNow()
		_ = sendFrame(r.Context(), ws, Challenge{})
		_, _, _ = ws.Read(r.Context())
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)

	states := make(chan error, 100)
	c := runClient(t, ClientConfig{URL: s.URL, OnState: func(err error) {
		select {
		case states <- err:
		default:
		}
	}})
	waitForState(t, states, "its certificate is not trusted")

	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	c.Trust(&tls.Config{RootCAs: roots})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := c.Connect(ctx); err != nil {
		t.Error(err)
	}
}
