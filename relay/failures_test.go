package relay

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/test/bubble"
)

func TestFewOpenFilesAreLogged(t *testing.T) {
	for files, want := range map[int]bool{fewFiles - 1: true, fewFiles: false} {
		var log bytes.Buffer
		r := &Relay{log: slog.New(slog.NewTextHandler(&log, nil))}
		if err := r.openPlaces(files, nil); err != nil {
			t.Fatal(err)
		}
		const warning = "few connections are possible: say LimitNOFILE=65536 in the service, or raise ulimit -n"
		if strings.Contains(log.String(), warning) != want {
			t.Errorf("%d open files: logged %q", files, log.String())
		}
	}
}

// If a relay ends by itself, its error names the part that failed.
func TestFailedPartIsNamed(t *testing.T) {
	var r *Relay
	r = newRelay(t, func(c *Config) {
		c.Metrics = "127.0.0.1:0"
		c.OnReady = func() {
			if err := r.metrics.Close(); err != nil {
				t.Error(err)
			}
		}
	})

	if err := r.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "serve metrics port: ") {
		t.Errorf("says %v", err)
	}
}

func TestFailedTURNIsNamed(t *testing.T) {
	r := newRelay(t)
	other, stop := context.WithCancel(t.Context())
	stop()
	if err := r.turn.server.Run(other); err != nil { // its ports are closed now
		t.Fatal(err)
	}

	if err := r.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "serve turn udp: ") {
		t.Errorf("says %v", err)
	}
}

// refusing is a listener that fails until it is closed.
type refusing struct {
	pipes
	failures int
}

func (l *refusing) Accept() (net.Conn, error) {
	if l.failures--; l.failures >= 0 {
		return nil, &net.OpError{Op: "accept", Addr: fakeAddr("192.0.2.1:5"), Err: syscall.EMFILE}
	}
	return l.pipes.Accept()
}

// A door without a file descriptor for a connection logs that, and tries again.
func TestDoorWithoutDescriptorsTriesAgain(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		listener := &refusing{pipes: make(pipes), failures: 3}
		d := newDoor("listen", listener, newPlaces(1<<16, &Config{}), slog.New(slog.NewTextHandler(&log, nil)))
		ended := make(chan error, 1)
		go func() { ended <- d.Run(t.Context()) }()
		time.Sleep(time.Minute) // the bubble's clock
		close(listener.pipes)
		<-ended

		const want = `msg="accept connection" door=listen err="too many open files"`
		if strings.Count(log.String(), want) != 3 || strings.Contains(log.String(), "192.0.2.1") {
			t.Errorf("logged %s", log.String())
		}
	})
}

// The relay is not ready if something other than TURN answers at TURN's port.
func TestOtherServerAtTURNsPortIsNotReady(t *testing.T) {
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()

	go func() {
		for b := make([]byte, 1500); ; {
			n, from, err := conn.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			_, _ = conn.WriteToUDPAddrPort(b[:n], from) // an echo is not an answer
		}
	}()

	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	at := netip.MustParseAddrPort(conn.LocalAddr().String())
	if err := askBinding(ctx, "TURN", at); err == nil || err.Error() != "TURN answers with something else" {
		t.Errorf("says %v", err)
	}
}
