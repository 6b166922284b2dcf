package bulk

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/test/bubble"
)

// shelf is what a camera offers in a test.
type shelf map[string]Object

func (s shelf) List(context.Context) ([]Info, error) {
	var infos []Info
	for id, o := range s {
		infos = append(infos, Info{id, o.Name(), o.Size(), o.Tree().Root()})
	}
	return infos, nil
}

func (s shelf) Open(_ context.Context, id string, root Hash) (Object, error) {
	o := s[id]
	switch {
	case o == nil:
		return nil, fmt.Errorf("open %q: %w", id, ErrNotFound)
	case !root.IsZero() && o.Tree().Root() != root:
		return nil, fmt.Errorf("open %q: %w", id, ErrChanged)
	}
	return o, nil
}

func idle() bool { return false }

func newTestCertificate(t testing.TB) Certificate {
	t.Helper()
	c, err := NewCertificate()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// line is a connection of a viewer with a camera, and the path below.
type line struct {
	viewer, camera *Conn
	path           *memoryPath
}

// connect connects a viewer with a camera. Both ends close when the test ends.
func connect(t testing.TB) *line {
	t.Helper()
	viewerPath, cameraPath := newPath()
	viewerOwn, cameraOwn := newTestCertificate(t), newTestCertificate(t)
	type result struct {
		conn *Conn
		err  error
	}
	accepted := make(chan result, 1)
	go func() {
		c, err := Accept(t.Context(), cameraPath, cameraOwn, viewerOwn.Hash())
		accepted <- result{c, err}
	}()

	viewer, err := Dial(t.Context(), viewerPath, viewerOwn, cameraOwn.Hash())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(viewer.Close)
	camera := <-accepted
	if camera.err != nil {
		t.Fatal(camera.err)
	}
	t.Cleanup(camera.conn.Close)
	return &line{viewer, camera.conn, viewerPath}
}

// serve makes the camera serve. What it returns ends serving and returns Serve's error.
func (l *line) serve(t testing.TB, from Source, busy func() bool) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- l.camera.Serve(ctx, from, busy) }()
	stopped := false
	stop = func() error {
		cancel()
		stopped = true
		return <-ended
	}
	t.Cleanup(func() {
		if !stopped {
			_ = stop()
		}
	})
	return stop
}

func TestListShowsWhatTheCameraOffers(t *testing.T) {
	l := connect(t)
	log := NewBytes("log.txt", testData(1000))
	l.serve(t, shelf{"log": log}, idle)
	infos, err := l.viewer.List(t.Context())
	if want := (Info{"log", "log.txt", 1000, log.Tree().Root()}); err != nil || len(infos) != 1 || infos[0] != want {
		t.Errorf("%v, %v", infos, err)
	}
}

func TestEmptyListIsAList(t *testing.T) {
	l := connect(t)
	l.serve(t, shelf{}, idle)
	if infos, err := l.viewer.List(t.Context()); err != nil || len(infos) != 0 {
		t.Errorf("%v, %v", infos, err)
	}
}

// longList offers more than fits.
type longList struct{ shelf }

func (longList) List(context.Context) ([]Info, error) {
	var infos []Info
	for i := range 1200 {
		infos = append(infos, Info{ID: fmt.Sprintf("recording/%d", i), Name: fmt.Sprintf("%d.h264", i), Size: -1})
	}
	return infos, nil
}

func TestLongListLosesItsEnd(t *testing.T) {
	l := connect(t)
	l.serve(t, longList{}, idle)
	infos, err := l.viewer.List(t.Context())
	if err != nil || len(infos) < 500 || len(infos) > maxListed || infos[0].ID != "recording/0" {
		t.Errorf("%d objects, %v", len(infos), err)
	}
}

func TestOtherCertificateAtTheCamera(t *testing.T) {
	viewerPath, cameraPath := newPath()
	viewerOwn, cameraOwn, expected := newTestCertificate(t), newTestCertificate(t), newTestCertificate(t)
	ctx, cancel := context.WithCancel(t.Context())
	accepted := make(chan error, 1)
	go func() {
		_, err := Accept(ctx, cameraPath, cameraOwn, viewerOwn.Hash())
		accepted <- err
	}()

	if _, err := Dial(ctx, viewerPath, viewerOwn, expected.Hash()); !errors.Is(err, ErrCertificate) {
		t.Errorf("dial: %v", err)
	}
	cancel()
	if err := <-accepted; !errors.Is(err, context.Canceled) {
		t.Errorf("accept: %v", err)
	}
}

func TestOtherCertificateAtTheViewer(t *testing.T) {
	viewerPath, cameraPath := newPath()
	viewerOwn, cameraOwn, expected := newTestCertificate(t), newTestCertificate(t), newTestCertificate(t)
	ctx, cancel := context.WithCancel(t.Context())
	accepted := make(chan error, 1)
	go func() {
		_, err := Accept(ctx, cameraPath, cameraOwn, expected.Hash())
		accepted <- err
	}()

	c, err := Dial(t.Context(), viewerPath, viewerOwn, cameraOwn.Hash())
	if err == nil { // TLS 1.3: the camera looks at the certificate later
		_, err = c.List(t.Context())
		c.Close()
	}
	if !errors.Is(err, ErrCertificate) {
		t.Errorf("viewer: %v", err)
	}
	cancel()
	if err := <-accepted; !errors.Is(err, ErrCertificate) || !errors.Is(err, context.Canceled) {
		t.Errorf("accept: %v", err)
	}
}

// TestStrangerDoesNotKeepTheViewerOut: the camera goes on waiting.
func TestStrangerDoesNotKeepTheViewerOut(t *testing.T) {
	viewerPath, cameraPath := newPath()
	viewerOwn, cameraOwn, stranger := newTestCertificate(t), newTestCertificate(t), newTestCertificate(t)
	accepted := make(chan *Conn, 1)
	go func() {
		c, err := Accept(t.Context(), cameraPath, cameraOwn, viewerOwn.Hash())
		if err != nil {
			t.Error(err)
		}
		accepted <- c
	}()

	if c, err := Dial(t.Context(), viewerPath, stranger, cameraOwn.Hash()); err == nil {
		if _, err := c.List(t.Context()); err == nil {
			t.Error("the camera serves a stranger")
		}
		c.Close()
	}
	c, err := Dial(t.Context(), viewerPath, viewerOwn, cameraOwn.Hash())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if camera := <-accepted; camera != nil {
		camera.Close()
	}
}

// TestTLSIsNothingElse: each end of a handshake that offers anything else is turned away.
func TestTLSIsNothingElse(t *testing.T) {
	own := newTestCertificate(t)
	cfg := own.tlsConfig(own.Hash(), nil)
	if cfg.MinVersion != cfg.MaxVersion || len(cfg.CurvePreferences) != 1 || len(cfg.NextProtos) != 1 {
		t.Errorf("there is a choice: %+v", cfg)
	}
	if !cfg.SessionTicketsDisabled || cameraConfig().Allow0RTT {
		t.Error("a session can be resumed")
	}

	rejected := 0
	cfg = own.tlsConfig(own.Hash(), func() { rejected++ })
	for _, chain := range [][][]byte{nil, {}, {nil}, {own.der, own.der}, {own.der[:len(own.der)-1]}} {
		if err := cfg.VerifyPeerCertificate(chain, nil); !errors.Is(err, ErrCertificate) {
			t.Errorf("%d certificates: %v", len(chain), err)
		}
	}
	if err := cfg.VerifyPeerCertificate([][]byte{own.der}, nil); err != nil || rejected != 5 {
		t.Errorf("%v, and %d rejected", err, rejected)
	}
}

func TestConnectionIsTLS13WithAPostQuantumKey(t *testing.T) {
	l := connect(t)
	for _, c := range []*Conn{l.viewer, l.camera} {
		s := c.quic.ConnectionState()
		if s.TLS.CurveID.String() != "X25519MLKEM768" || s.TLS.NegotiatedProtocol != protocol || s.TLS.DidResume {
			t.Errorf("%v, %q, resumed %t", s.TLS.CurveID, s.TLS.NegotiatedProtocol, s.TLS.DidResume)
		}
		if s.SupportsDatagrams.Local || s.SupportsDatagrams.Remote || s.GSO {
			t.Errorf("%+v", s)
		}
	}
}

func TestNobodyOpensOtherStreams(t *testing.T) {
	l := connect(t)
	if _, err := l.camera.quic.OpenStream(); err == nil {
		t.Error("the camera opens a stream")
	}
	for _, c := range []*Conn{l.viewer, l.camera} {
		if _, err := c.quic.OpenUniStream(); err == nil {
			t.Error("an end opens a unidirectional stream")
		}
	}
	for i := range maxStreams + 1 {
		if _, err := l.viewer.quic.OpenStream(); (err == nil) != (i < maxStreams) {
			t.Errorf("stream %d: %v", i, err)
		}
	}
}

func TestGoodbyeEndsServe(t *testing.T) {
	for _, end := range []string{"viewer", "camera"} {
		t.Run(end, func(t *testing.T) {
			l := connect(t)
			ended := make(chan error, 1)
			go func() { ended <- l.camera.Serve(context.Background(), shelf{}, idle) }()
			map[string]*Conn{"viewer": l.viewer, "camera": l.camera}[end].Close()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
}

func TestServeEndsWithItsContext(t *testing.T) {
	l := connect(t)
	if err := l.serve(t, shelf{}, idle)(); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestCloseLeavesThePathOpen(t *testing.T) {
	l := connect(t)
	l.viewer.Close()
	select {
	case <-l.path.closed:
		t.Error("the path is closed")
	default:
	}
	if _, err := l.viewer.List(t.Context()); !errors.Is(err, ErrBroken) || !errors.Is(err, net.ErrClosed) {
		t.Errorf("a closed connection: %v", err)
	}
}

func TestSilentPathBreaksTheConnection(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		l := connect(t)
		ended := make(chan error, 1)
		go func() { ended <- l.camera.Serve(context.Background(), shelf{}, idle) }()
		time.Sleep(time.Minute) // keep-alives keep it up
		if _, err := l.viewer.List(t.Context()); err != nil {
			t.Fatal(err)
		}

		began := time.Now()
		l.path.silent.Store(true)
		if _, err := l.viewer.List(t.Context()); !errors.Is(err, ErrBroken) {
			t.Errorf("viewer: %v", err)
		}
		if err := <-ended; !errors.Is(err, ErrBroken) {
			t.Errorf("camera: %v", err)
		}
		if took := time.Since(began); took > 2*idleTimeout {
			t.Errorf("it took %s", took)
		}
	})
}

func TestDialEndsWithItsContext(t *testing.T) {
	viewerPath, _ := newPath()
	own := newTestCertificate(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Dial(ctx, viewerPath, own, own.Hash()); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestCertificateDoesNotShowItsKey(t *testing.T) {
	c := newTestCertificate(t)
	var out strings.Builder
	slog.New(slog.NewTextHandler(&out, nil)).Info("certificate", "own", c)
	for _, verb := range []string{"%v", "%+v", "%#v", "%x", "%s"} {
		if shown := fmt.Sprintf(verb, c); shown != redacted {
			t.Errorf("shown as %q", shown)
		}
	}
	if !strings.Contains(out.String(), redacted) {
		t.Errorf("logged as %q", out.String())
	}
	if other := newTestCertificate(t); other.Hash() == c.Hash() {
		t.Error("two certificates are the same")
	}
}
