package evilcloud

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/peephole-cam/peephole/signaling"
	"github.com/peephole-cam/peephole/signaling/server"
	"github.com/peephole-cam/peephole/turn"
	"github.com/peephole-cam/peephole/web"
)

// node is one relay of the cloud.
type node struct {
	cloud               *Cloud
	log                 *slog.Logger
	url                 string
	signalingAt, turnAt string // where it is, over restarts

	listener  net.Listener
	signaling *server.Server
	turn      *turn.Server
	front     *front
	keys      *turn.Keys
}

func newNode(c *Cloud, signalingAt, turnAt string, log *slog.Logger) (*node, error) {
	n := &node{cloud: c, log: log, signalingAt: signalingAt, turnAt: turnAt}
	return n, n.open()
}

// open takes the ports and makes the parts anew.
func (n *node) open() (err error) {
	if n.listener, err = net.Listen("tcp", n.signalingAt); err != nil {
		return fmt.Errorf("open node: %w", err)
	}
	n.signalingAt = n.listener.Addr().String()
	n.url = "http://" + n.signalingAt
	secret := make([]byte, 32)
	rand.Read(secret)
	if n.keys, err = turn.NewKeys(secret, nil); err != nil {
		return fmt.Errorf("open node: %w", err)
	}
	host, _, _ := net.SplitHostPort(n.turnAt)
	if n.turn, err = turn.New(turn.Config{Address: net.JoinHostPort(host, "0"), Keys: n.keys, Logger: n.log}); err != nil {
		return fmt.Errorf("open node: %w", err)
	}
	if n.front, err = newFront(n.cloud, n.turnAt, n.turn.Addresses().UDP); err != nil {
		return errors.Join(err, n.turn.Close())
	}
	n.turnAt = n.front.address()
	n.signaling, err = server.New(server.Config{PublicURL: n.url, Granter: n, Bus: n.cloud.delivery, Logger: n.log})
	return err
}

func (n *node) close() error {
	return errors.Join(n.listener.Close(), n.turn.Close(), n.front.close())
}

// Grant implements server.Granter.
func (n *node) Grant(now time.Time) (signaling.Grant, error) {
	grant, err := n.keys.Grant(now, 10*time.Minute)
	return signaling.Grant{
		URLs: []string{"turn:" + n.turnAt + "?transport=udp"}, TTL: 600,
		Viewer: signaling.Credentials{Username: grant.Viewer.Username, Credential: grant.Viewer.Password},
		Camera: signaling.Credentials{Username: grant.Camera.Username, Credential: grant.Camera.Password},
	}, err
}

// run serves until ctx ends or a part does.
func (n *node) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	mux := http.NewServeMux()
	mux.Handle(signaling.Path, n.signaling)
	mux.Handle("/", http.FileServerFS(web.Files()))
	pages := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	var work sync.WaitGroup
	failed := make(chan error, 4)
	part := func(f func() error) {
		work.Go(func() {
			if err := f(); err != nil && ctx.Err() == nil {
				failed <- err
			}
			cancel()
		})
	}
	part(func() error { return n.signaling.Run(ctx) })
	part(func() error { return n.turn.Run(ctx) })
	part(func() error { return n.front.run(ctx) })
	part(func() error { return pages.Serve(n.listener) })
	<-ctx.Done()
	_ = pages.Close() // with its listener; what it reports has ended with it
	work.Wait()
	close(failed)
	return <-failed
}

// udpAddr is where a packet connection is.
func udpAddr(c net.PacketConn) netip.AddrPort {
	return c.LocalAddr().(*net.UDPAddr).AddrPort()
}
