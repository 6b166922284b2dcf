package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"

	"github.com/coder/websocket"

	"github.com/peephole-cam/peephole/signaling/webtransport"
)

// serve serves both carriers until ctx ends.
func (c config) serve(ctx context.Context) error {
	own, err := tls.LoadX509KeyPair(c.certificate, c.key)
	if err != nil {
		return err
	}
	tcp, err := net.Listen("tcp", c.at)
	if err != nil {
		return err
	}
	at, err := net.ResolveUDPAddr("udp", c.at)
	if err != nil {
		return err
	}
	udp, err := net.ListenUDP("udp", at)
	if err != nil {
		return err
	}

	identity := &tls.Config{Certificates: []tls.Certificate{own}}
	overTCP := &http.Server{Handler: http.HandlerFunc(serveWebSocket)}
	overUDP := webtransport.NewServer(udp, webtransport.ServerConfig{
		TLS:     identity,
		Handler: http.HandlerFunc(serveWebTransport),
		Admit:   func(ctx context.Context, _ netip.AddrPort, _ func()) (any, error) { return nil, nil },
		Logger:  slog.New(slog.DiscardHandler),
	})

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 2)
	go func() { ended <- overTCP.Serve(tls.NewListener(tcp, identity)) }()
	go func() { ended <- overUDP.Run(ctx) }()
	fmt.Println("ready")
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		return errors.Join(overTCP.Close(), overUDP.Close())
	}
}

func serveWebSocket(w http.ResponseWriter, r *http.Request) {
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	conn.SetReadLimit(maxMessage)
	answer(r.Context(), webSocket{conn})
}

func serveWebTransport(w http.ResponseWriter, r *http.Request) {
	conn, err := webtransport.Accept(w, r)
	if err != nil {
		return
	}
	conn.SetReadLimit(maxMessage)
	go answer(context.WithoutCancel(r.Context()), webTransport{conn})
}

// answer answers a client until it leaves.
func answer(ctx context.Context, conn messageConn) {
	defer conn.Close()
	if err := conn.Send(ctx, make([]byte, challengeSize)); err != nil {
		return
	}
	for {
		message, err := conn.Receive(ctx)
		if err != nil {
			return
		}
		if len(message) == openSize {
			message = make([]byte, openedSize)
		}
		if err := conn.Send(ctx, message); err != nil {
			return
		}
	}
}
