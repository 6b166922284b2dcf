package evilcloud

import (
	"context"
	"crypto/ed25519"
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
	"github.com/peephole-cam/peephole/signaling/region"
	"github.com/peephole-cam/peephole/signaling/server"
	"github.com/peephole-cam/peephole/test/reserve"
	"github.com/peephole-cam/peephole/turn"
	"github.com/peephole-cam/peephole/web"
)

// node is one relay of the cloud.
type node struct {
	cloud               *Cloud
	name                string
	log                 *slog.Logger
	url                 string
	signalingAt, turnAt string // where it is, over restarts
	reserved            [2]*reserve.Port

	listener   net.Listener
	behind     net.Listener // signaling itself, if there is a proxy in the middle; else nil
	signaling  *server.Server
	rejections rejections
	turn       *turn.Server
	front      *front
	secret     []byte // guarded by cloud.mu
	keys       *turn.Keys
}

func nodeName(i int) string { return fmt.Sprintf("node-%d", i) }

func newNode(c *Cloud, i int) (*node, error) {
	n := &node{cloud: c, name: nodeName(i), log: c.logger()}
	err := n.reserve(c.cfg.Signaling[i], c.cfg.TURN[i])
	if err == nil {
		err = n.open()
	}

	if err != nil {
		return nil, errors.Join(err, n.giveUp())
	}
	return n, nil
}

// reserve keeps the node's ports while it is away.
func (n *node) reserve(signaling, turn string) (err error) {
	if n.reserved[0], err = reserve.TCP(signaling); err != nil {
		return err
	}
	if n.reserved[1], err = reserve.UDP(turn); err != nil {
		return err
	}

	n.signalingAt, n.turnAt = n.reserved[0].Addr(), n.reserved[1].Addr()
	return nil
}

// giveUp ends the reservation.
func (n *node) giveUp() error {
	var errs []error
	for _, p := range n.reserved {
		if p != nil {
			errs = append(errs, p.Close())
		}
	}
	return errors.Join(errs...)
}

// open listens on the ports and makes the parts anew.
func (n *node) open() error {
	err := errors.Join(n.openTURN(), n.openSignaling())
	if err != nil {
		return fmt.Errorf("open node: %w", errors.Join(err, n.close()))
	}
	return nil
}

func (n *node) openTURN() (err error) {
	secret := make([]byte, 32)
	rand.Read(secret)
	n.cloud.mu.Lock()
	n.secret = secret
	n.cloud.mu.Unlock()
	if n.keys, err = turn.NewKeys(secret, nil); err != nil {
		return err
	}

	host, _, _ := net.SplitHostPort(n.turnAt)
	if n.turn, err = turn.New(turn.Config{
		Address: net.JoinHostPort(host, "0"),
		Keys:    n.keys,
		Logger:  n.log,
	}); err != nil {
		return err
	}

	if n.front, err = newFront(n.cloud, n.turnAt, n.turn.Addresses().UDP); err != nil {
		return err
	}
	first, err := n.grant("", signaling.Name{}, time.Now())
	n.cloud.office.begin(n, first)
	return err
}

func (n *node) openSignaling() (err error) {
	if n.listener, err = net.Listen("tcp", n.signalingAt); err != nil {
		return err
	}
	n.url = "http://" + n.signalingAt
	if n.cloud.cfg.Tape != nil {
		n.listener = tap{n.listener, n.cloud.cfg.Tape}
	}

	n.behind = nil
	if n.cloud.cfg.Middle {
		if n.behind, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			return err
		}
	}

	var tickets ed25519.PublicKey
	if n.cloud.cfg.Tickets {
		tickets = n.cloud.operator.Public().(ed25519.PublicKey)
	}
	var peers []string
	for i := range n.cloud.cfg.Signaling {
		if name := nodeName(i); name != n.name {
			peers = append(peers, name)
		}
	}

	n.signaling, err = server.New(server.Config{
		PublicURL: n.url,
		TicketKey: tickets,
		Granter:   n,
		Bus:       n.cloud.delivery.at(n.name),
		Node:      n.name,
		Peers:     peers,
		Now:       n.cloud.cfg.Now,
		Logger:    n.log,

		LoopbackUnlimited: true, // everybody is on this machine
	})
	if err != nil {
		return err
	}
	n.rejections.begin(&n.signaling.Stats)

	return nil
}

// close frees what open has opened; after run there is nothing left to free.
func (n *node) close() error {
	var errs []error
	for _, l := range []net.Listener{n.listener, n.behind} {
		if l != nil {
			errs = append(errs, l.Close())
		}
	}

	if n.turn != nil {
		errs = append(errs, n.turn.Close())
	}
	if n.front != nil {
		errs = append(errs, n.front.close())
	}

	return errors.Join(errs...)
}

// Grant implements server.Granter.
func (n *node) Grant(payer string, through signaling.Name, _ string, now time.Time) (signaling.Grant, error) {
	grant, err := n.grant(payer, through, now)
	return n.cloud.office.issue(n, grant), err
}

// Revoke implements server.Granter.
func (n *node) Revoke(through signaling.Name) { n.turn.Revoke(string(through[:])) }

func (n *node) grant(payer string, through signaling.Name, now time.Time) (signaling.Grant, error) {
	grant, err := n.keys.GrantThrough(payer, string(through[:]), now, 10*time.Minute)
	return signaling.Grant{
		URLs: []string{"turn:" + n.turnAt + "?transport=udp"}, TTL: 600,
		Viewer: signaling.Credentials{Username: grant.Viewer.Username, Credential: grant.Viewer.Password},
		Camera: signaling.Credentials{Username: grant.Camera.Username, Credential: grant.Camera.Password},
	}, err
}

// page serves the web page.
func (n *node) page() http.Handler {
	files := http.FileServerFS(web.Files())
	return n.cloud.pages.before(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/pair" { // a pairing link's
			r.URL.Path = "/"
		}
		files.ServeHTTP(w, r)
	}))
}

// serveRegions serves the map of regions.
func (n *node) serveRegions(w http.ResponseWriter, r *http.Request) {
	defer n.cloud.counts.maps.Add(1)
	wire := n.cloud.regions.Load()
	if wire == nil || *wire == nil {
		http.NotFound(w, r)
		return
	}
	_, _ = w.Write(*wire)
}

// run serves until ctx ends or a part does.
func (n *node) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var work sync.WaitGroup
	failed := make(chan error, 5)
	part := func(f func() error) {
		work.Go(func() {
			if err := f(); err != nil && ctx.Err() == nil {
				failed <- err
			}
			cancel()
		})
	}

	var servers []*http.Server
	serve := func(on net.Listener, h http.Handler) {
		s := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
		servers = append(servers, s)
		part(func() error { return s.Serve(on) })
	}

	mux := http.NewServeMux()
	mux.Handle("/", n.page())
	mux.HandleFunc(region.Path, n.serveRegions)
	if n.behind != nil {
		mux.Handle(signaling.Path, n.cloud.middle.at(n, "http://"+n.behind.Addr().String()))
		serve(n.behind, n.signaling)
	} else {
		mux.Handle(signaling.Path, n.signaling)
	}

	serve(n.listener, mux)
	part(func() error { return n.signaling.Run(ctx) })
	part(func() error { return n.turn.Run(ctx) })
	part(func() error { return n.front.run(ctx) })
	<-ctx.Done()
	for _, s := range servers {
		_ = s.Close() // with its listener; its error was reported by what ended
	}

	work.Wait()
	close(failed)
	return <-failed
}

// udpAddr returns the address of a packet connection.
func udpAddr(c net.PacketConn) netip.AddrPort {
	return c.LocalAddr().(*net.UDPAddr).AddrPort()
}
