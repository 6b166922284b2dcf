package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/peephole-cam/peephole/signaling/mail"
)

// startTimeout is for a server that has many messages to look through.
const startTimeout = time.Minute

// node is a connection to the stream, and the NATS server if that is inside this process.
type node struct {
	server *server.Server // nil if it is another process
	conn   *nats.Conn
	js     jetstream.JetStream
	stream jetstream.Stream
}

// startNode starts a server on the folder of cfg, with what an earlier one has left there.
func startNode(done context.Context, cfg Config) (*node, error) {
	s, err := server.NewServer(&server.Options{
		ServerName:             "peephole",
		DontListen:             true,
		NoSigs:                 true,
		JetStream:              true,
		JetStreamMaxMemory:     1 << 20, // it keeps nothing in memory
		JetStreamMaxStore:      1 << 50, // cfg.MaxBytes and the space on the disk are what limits it
		StoreDir:               cfg.Dir,
		SyncInterval:           syncInterval,
		SyncAlways:             cfg.SyncAlways,
		DisableJetStreamBanner: true,
	})
	if err != nil {
		return nil, err
	}
	log := &serverLog{log: cfg.Logger}
	s.SetLoggerV2(log, false, false, false)

	n := &node{server: s}
	s.Start()
	if err := n.connect(done, cfg); err != nil {
		n.stop()
		return nil, errors.Join(err, log.fatal)
	}
	return n, nil
}

func (n *node) connect(done context.Context, cfg Config) (err error) {
	if !n.server.JetStreamEnabled() || !n.server.ReadyForConnections(opTimeout) {
		return errors.New("JetStream did not start")
	}
	if n.conn, err = nats.Connect("", nats.InProcessServer(n.server)); err != nil {
		return err
	}
	if n.js, err = jetstream.New(n.conn); err != nil {
		return err
	}

	ctx, cancel := context.WithTimeout(done, startTimeout)
	defer cancel()
	stream := streamConfig()
	stream.MaxBytes = cfg.MaxBytes
	n.stream, err = n.js.CreateOrUpdateStream(ctx, stream)
	return err
}

// streamConfig returns what the stream of stored messages is like everywhere.
func streamConfig() jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:                 streamName,
		Subjects:             []string{"mail.>"},
		Storage:              jetstream.FileStorage,
		MaxMsgsPerSubject:    mail.MaxPerMailbox,
		Discard:              jetstream.DiscardNew,
		DiscardNewPerSubject: true,
		AllowMsgTTL:          true,
		AllowDirect:          true,
	}
}

// subjectOf returns the subject of a message, as the server knows it that leads the others.
func (n *node) subjectOf(ctx context.Context, id uint64) (string, error) {
	got, err := n.conn.RequestWithContext(ctx, "$JS.API.STREAM.MSG.GET."+streamName, fmt.Appendf(nil, `{"seq":%d}`, id))
	if err != nil {
		return "", err
	}
	var answer struct {
		Message struct{ Subject string }
		Error   *jetstream.APIError
	}
	switch err := json.Unmarshal(got.Data, &answer); {
	case err != nil:
		return "", err
	case answer.Error != nil && answer.Error.ErrorCode == jetstream.JSErrCodeMessageNotFound:
		return "", jetstream.ErrMsgNotFound
	case answer.Error != nil:
		return "", answer.Error
	}
	return answer.Message.Subject, nil
}

// healthy reports whether JetStream runs and can write. After one error of the disk it writes nothing more, and says so
// nowhere else.
func (n *node) healthy() bool {
	return n.server.JetStreamEnabled() && n.server.Healthz(&server.HealthzOptions{}).StatusCode == http.StatusOK
}

func (n *node) stop() {
	if n.conn != nil {
		n.conn.Close()
	}
	if n.server != nil {
		n.server.Shutdown()
		n.server.WaitForShutdown()
	}
}

// serverLog is the server's log. Everything below a warning is logged at debug.
type serverLog struct {
	log   *slog.Logger
	fatal error // why the server could not start
}

// Noticef implements server.Logger.
func (l *serverLog) Noticef(format string, args ...any) { l.log.Debug(fmt.Sprintf(format, args...)) }

// Debugf implements server.Logger.
func (l *serverLog) Debugf(format string, args ...any) { l.log.Debug(fmt.Sprintf(format, args...)) }

// Tracef implements server.Logger.
func (l *serverLog) Tracef(format string, args ...any) { l.log.Debug(fmt.Sprintf(format, args...)) }

// Warnf implements server.Logger.
func (l *serverLog) Warnf(format string, args ...any) { l.log.Warn(fmt.Sprintf(format, args...)) }

// Errorf implements server.Logger.
func (l *serverLog) Errorf(format string, args ...any) { l.log.Error(fmt.Sprintf(format, args...)) }

// Fatalf implements server.Logger. Unlike the server's own loggers, it does not end the process: the store finds out
// that the server does not run.
func (l *serverLog) Fatalf(format string, args ...any) { l.fatal = fmt.Errorf(format, args...) }
